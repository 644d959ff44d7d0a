import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from '@prime-nest/kit/log';
import type { CheckLogCommand } from './check/check-log.command.js';

export interface CheckLogJobOptions {
  readonly check: CheckLogCommand;
  readonly log: Logger;
  readonly intervalMs: number;
  readonly isLeader: () => boolean;
}

/** Rest after each chunk, so that a check of a large log takes its time and not everybody else's. */
const restMs = 20;
const faultsMax = 20;

/**
 * Recomputes the whole stored log again and again. What the signer has signed once it does not look at again; this
 * does, and says with an error line per fault when an old entry is not what it was. Signatures are left to whoever
 * holds the verifier keys of all times: see audit-verify.
 */
export class CheckLogJob {
  readonly #options: CheckLogJobOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: CheckLogJobOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#rest(this.#options.intervalMs);
      if (!signal.aborted && this.#options.isLeader()) await this.#check();
    }
  }

  async #check(): Promise<void> {
    const { check, log } = this.#options;
    const startedAt = performance.now();
    try {
      const { entries, faults } = await check.run({
        signal: this.#stopping.signal,
        onProgress: () => this.#rest(restMs),
      });
      for (const fault of faults.slice(0, faultsMax)) log.error({ ...fault }, 'log.fault');
      log.info(
        { entries, faults: faults.length, durationMs: Math.round(performance.now() - startedAt) },
        'log.checked',
      );
    } catch (error) {
      log.warn({ err: error }, 'log.check_failed');
    }
  }

  async #rest(ms: number): Promise<void> {
    await wait(ms, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
  }
}
