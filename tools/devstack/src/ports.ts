import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/** Below what systems give to outgoing connections by default: none of those takes a port before it is bound. */
const [lowest, highest] = [20_000, 32_768];
const attemptsMax = 50;

/** A port of 127.0.0.1 that was free a moment ago. Whoever binds it retries with another when it was taken since. */
export async function freePort(): Promise<number> {
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const free = await listenOnce(randomInt(lowest, highest));
    if (free !== undefined) return free;
  }
  throw new Error(`no port between ${lowest} and ${highest} is free`);
}

export interface ChosenPort {
  readonly port: number;
  /** The port that was asked for and is taken. */
  readonly busy?: number;
}

/** The wanted port when it is free (0 = any), else another one, with the busy one named. */
export async function choosePort(wanted: number): Promise<ChosenPort> {
  if (wanted === 0) return { port: await freePort() };
  const free = await listenOnce(wanted);
  return free === undefined ? { port: await freePort(), busy: wanted } : { port: wanted };
}

function listenOnce(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      const address = server.address();
      const bound = typeof address === 'object' && address !== null ? address.port : undefined;
      server.close(() => resolve(bound));
    });
  });
}
