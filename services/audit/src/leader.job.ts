import { setTimeout as wait } from 'node:timers/promises';

export interface LeaderJobOptions {
  /** Rest between two turns. */
  readonly intervalMs: number;
  /** One process does it: the one that sequences. */
  readonly isLeader: () => boolean;
  /** One turn. It must not throw; `signal` asks it to end early. */
  readonly turn: (signal: AbortSignal) => Promise<void>;
}

/** Takes a turn again and again while this process leads, with a rest before each. */
export class LeaderJob {
  readonly #options: LeaderJobOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: LeaderJobOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Waits for the turn in hand. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { intervalMs, isLeader, turn } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await wait(intervalMs, undefined, { signal }).catch(() => undefined);
      if (!signal.aborted && isLeader()) await turn(signal);
    }
  }
}
