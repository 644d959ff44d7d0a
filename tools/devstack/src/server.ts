import type { Child, Exit } from './process.js';
import { firstAnswer, waitUntil } from './wait.js';
import { choosePort, freePort } from './ports.js';

/** A server that was started, or (pid undefined) one that somebody else runs and we never stop. */
export interface RunningServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number | undefined;
  /** What runs, for people: "PostgreSQL 18.4 (npm package)". */
  readonly description: string;
  /** The wanted port that was taken, when another had to be chosen. */
  readonly busyPort?: number;
  /** Settles when the server ends, for whatever reason; undefined for somebody else's. */
  readonly exited?: Promise<Exit>;
  signal(signal: NodeJS.Signals): void;
  /** Asks the server to end and waits for it. */
  stop(): Promise<void>;
}

/** Somebody else's server: used, never started, never stopped. */
export function externalServer(url: string, defaultPort: number, description: string): RunningServer {
  const port = Number(new URL(url).port) || defaultPort;
  return { url, port, pid: undefined, description, signal: () => undefined, stop: () => Promise.resolve() };
}

export interface Launch {
  readonly name: string;
  /** 0 = any. */
  readonly port: number;
  readonly start: (port: number) => Child | Promise<Child>;
  readonly ready: (port: number) => Promise<unknown>;
  readonly deadlineMs?: number;
}

export interface Launched {
  readonly child: Child;
  readonly port: number;
  readonly busy?: number;
}

/** Starts on a free port and waits until the server answers; a port lost to another process is replaced, twice. */
export async function launch(options: Launch): Promise<Launched> {
  const chosen = await choosePort(options.port);
  for (let port = chosen.port, attempt = 1; ; port = await freePort(), attempt += 1) {
    const child = await options.start(port);
    let exit: Exit | undefined;
    void child.exited.then((seen) => (exit = seen));
    const failed = (): Error | undefined => (exit === undefined ? undefined : endedEarly(options.name, exit, child));
    try {
      await waitUntil(() => options.ready(port), {
        deadlineMs: options.deadlineMs ?? 30_000,
        what: `${options.name} to answer on port ${port}`,
        failed,
      });
      // Another server may hold the port and have answered in our child's place.
      const failure = failed();
      if (failure !== undefined) throw failure;
      return { child, port, ...(chosen.busy === undefined ? {} : { busy: chosen.busy }) };
    } catch (error) {
      const portTaken = /address already in use|could not bind/i.test(child.tail(20));
      await child.stop('SIGKILL', 1000);
      if (!portTaken || attempt === 3) throw error;
    }
  }
}

function endedEarly(name: string, exit: Exit, child: Child): Error {
  const how = exit.reason ?? `exit ${exit.code ?? exit.signal}`;
  return new Error(`${name} ended while starting (${how}); its last lines:\n${child.tail(20)}`);
}

/** Whether something on the port greets like this server does. */
export async function greets(port: number, greeting: string, expected: RegExp): Promise<void> {
  const answer = await firstAnswer(port, greeting);
  if (!expected.test(answer)) throw new Error(`port ${port} answered ${JSON.stringify(answer.slice(0, 80))}`);
}
