import { createServer } from 'node:net';

/** A port of 127.0.0.1 that was free a moment ago. Whoever binds it retries with another when it was taken since. */
export function freePort(): Promise<number> {
  return listenOnce(0) as Promise<number>;
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
