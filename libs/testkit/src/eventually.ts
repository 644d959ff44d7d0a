import { setTimeout as delay } from 'node:timers/promises';

export interface EventuallyOptions {
  /** Default 30 s: met at once on a quiet machine, and in the end on a crowded one. */
  readonly deadlineMs?: number;
  readonly intervalMs?: number;
}

/**
 * Waits until `attempt` returns something other than false without throwing, and resolves with it. At the deadline
 * the last error is thrown as it is, so that a failed expectation inside reads as usual.
 */
export async function eventually<T>(
  attempt: () => T | Promise<T>,
  { deadlineMs = 30_000, intervalMs = 20 }: EventuallyOptions = {},
): Promise<Exclude<T, false>> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    let failure: unknown;
    try {
      const value = await attempt();
      if (value !== false) return value as Exclude<T, false>;
      failure = new Error(`the condition was still false after ${deadlineMs} ms`);
    } catch (error) {
      failure = error;
    }
    if (performance.now() > end) throw failure;
    await delay(intervalMs);
  }
}
