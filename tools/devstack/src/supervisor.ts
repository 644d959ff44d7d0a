import { setTimeout as delay } from 'node:timers/promises';
import type { Exit } from './process.js';

/** A process as its starter hands it over: it is ready. */
export interface Started {
  readonly pid: number | undefined;
  /** Undefined for somebody else's server, which is not supervised. */
  readonly exited?: Promise<Exit>;
  signal(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
}

export interface SupervisorEvents {
  /** The process ended without having been asked to. */
  ended(name: string, exit: Exit, retryInMs: number): void;
  restarted(name: string): void;
  /** A try to start it again failed. */
  failed(name: string, error: unknown, retryInMs: number): void;
}

/** One process that is meant to run: started again, with growing pauses, whenever it ends by itself. */
export interface Supervised {
  readonly name: string;
  pid(): number | undefined;
  /** Resolves when the process has ended. It is started again, as after a crash. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Passes a signal that does not end the process (SIGSTOP, SIGCONT). */
  signal(signal: NodeJS.Signals): void;
  /** Ends it, orderly; it stays down. */
  stop(): Promise<void>;
  /** Starts it when it is down; resolves when it is ready. */
  start(): Promise<void>;
  restart(): Promise<void>;
}

const pausesMs = [250, 500, 1000, 2000, 5000, 10_000] as const;
/** A process that lived this long starts with the shortest pause again. */
const stableMs = 30_000;

export async function supervise(
  name: string,
  start: () => Promise<Started>,
  events: SupervisorEvents,
): Promise<Supervised> {
  let current: Started | undefined;
  let wanted = true;
  let failures = 0;

  let beginning: Promise<void> | undefined;

  const begin = (): Promise<void> => (beginning ??= beginOnce().finally(() => (beginning = undefined)));
  const beginOnce = async (): Promise<void> => {
    const started = await start();
    // Stopped while it was starting.
    if (!wanted) return started.stop();
    current = started;
    const since = performance.now();
    if (started.exited !== undefined) void started.exited.then((exit) => onExit(started, exit, since));
  };
  const pause = (): number => pausesMs[Math.min(failures, pausesMs.length - 1)] as number;
  const onExit = async (started: Started, exit: Exit, since: number): Promise<void> => {
    if (!wanted || current !== started) return;
    if (performance.now() - since > stableMs) failures = 0;
    current = undefined;
    events.ended(name, exit, pause());
    await again();
  };
  const again = async (): Promise<void> => {
    for (;;) {
      await delay(pause());
      failures += 1;
      // Somebody stopped it, or started it by hand, during the pause.
      if (!wanted || current !== undefined) return;
      try {
        await begin();
        return events.restarted(name);
      } catch (error) {
        events.failed(name, error, pause());
      }
    }
  };

  await begin();
  const supervised: Supervised = {
    name,
    pid: () => current?.pid,
    signal: (signal) => current?.signal(signal),
    async kill(signal) {
      const target = current;
      target?.signal(signal);
      await target?.exited;
    },
    async stop() {
      wanted = false;
      const target = current;
      current = undefined;
      await target?.stop();
      // One that is just starting ends as soon as it has; a start that fails has nothing to stop.
      await beginning?.catch(() => undefined);
    },
    async start() {
      wanted = true;
      if (current === undefined) await begin();
    },
    async restart() {
      await supervised.stop();
      await supervised.start();
    },
  };
  return supervised;
}
