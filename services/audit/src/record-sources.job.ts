import type { Logger } from '@prime-nest/kit/log';
import type { RecordSourcesCommand } from './log/record-sources.command.js';

const entriesSoon = 1_000;
const patienceMs = 60_000;

/** Records the sources' numbers after a thousand entries, and what there is after a minute. */
export function recordSourcesTurn({ record, log }: { record: RecordSourcesCommand; log: Logger }) {
  let recordedAt = performance.now();
  return async (): Promise<void> => {
    const isDue = performance.now() - recordedAt >= patienceMs;
    try {
      const index = await record.run(isDue ? 1 : entriesSoon);
      if (isDue || index !== undefined) recordedAt = performance.now();
      if (index !== undefined) log.debug({ index }, 'sources.recorded');
    } catch (error) {
      log.error({ err: error }, 'sources.not_recorded');
    }
  };
}
