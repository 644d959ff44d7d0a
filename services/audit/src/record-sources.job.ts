import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from '@prime-nest/kit/log';
import type { RecordSourcesCommand } from './log/record-sources.command.js';

export interface RecordSourcesJobOptions {
  readonly record: RecordSourcesCommand;
  readonly log: Logger;
  readonly isLeader: () => boolean;
}

const lookMs = 1_000;
const entriesSoon = 1_000;
const patienceMs = 60_000;

/** Records the sources' numbers after a thousand entries, and what there is after a minute. */
export class RecordSourcesJob {
  readonly #options: RecordSourcesJobOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: RecordSourcesJobOptions) {
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
    const { record, log, isLeader } = this.#options;
    const { signal } = this.#stopping;
    let recordedAt = performance.now();
    while (!signal.aborted) {
      await wait(lookMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted || !isLeader()) continue;
      const isDue = performance.now() - recordedAt >= patienceMs;
      try {
        const index = await record.run(isDue ? 1 : entriesSoon);
        if (isDue || index !== undefined) recordedAt = performance.now();
        if (index !== undefined) log.debug({ index }, 'sources.recorded');
      } catch (error) {
        log.error({ err: error }, 'sources.not_recorded');
      }
    }
  }
}
