import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from '@prime-nest/kit/log';
import type { CheckLogCommand } from './check/check-log.command.js';

/** Rest after each chunk, so that a check of a large log takes its time and not everybody else's. */
const restMs = 20;
const faultsMax = 20;

/**
 * Recomputes the whole stored log. What the signer has signed once it does not look at again; this does, and says with
 * an error line per fault when an old entry is not what it was. Signatures are left to whoever holds the verifier keys
 * of all times: see audit-verify.
 */
export function checkLogTurn({ check, log }: { check: CheckLogCommand; log: Logger }) {
  return async (signal: AbortSignal): Promise<void> => {
    const startedAt = performance.now();
    try {
      const { entries, faults } = await check.run({
        signal,
        onProgress: () => wait(restMs, undefined, { signal }).catch(() => undefined),
      });
      for (const fault of faults.slice(0, faultsMax)) log.error({ ...fault }, 'log.fault');
      log.info(
        { entries, faults: faults.length, durationMs: Math.round(performance.now() - startedAt) },
        'log.checked',
      );
    } catch (error) {
      log.warn({ err: error }, 'log.check_failed');
    }
  };
}
