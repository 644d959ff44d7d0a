import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from './log.js';

/** The delay before attempt `attempt` + 1: doubling from 100 ms to 5 s, with half of it random so that a fleet spreads. */
export function backoffMs(attempt: number): number {
  const full = Math.min(5_000, 100 * 2 ** Math.min(attempt, 10));
  return full / 2 + Math.random() * (full / 2);
}

/** Calls `fn` until it succeeds, with back-off and a log line per failure; throws its last error after `timeoutMs`. */
export async function retryWithin<T>(timeoutMs: number, fn: () => Promise<T>, log: Logger, event: string): Promise<T> {
  const startedAt = performance.now();
  for (let attempt = 1; ; attempt++) {
    try {
      return await fn();
    } catch (error) {
      const waitedMs = Math.round(performance.now() - startedAt);
      if (waitedMs >= timeoutMs) throw error;
      log.warn({ err: error, attempt, waitedMs }, event);
      await wait(backoffMs(attempt));
    }
  }
}
