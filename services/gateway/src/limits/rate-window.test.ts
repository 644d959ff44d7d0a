import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { RateWindow } from './rate-window.js';

const windowSeconds = 10;
const windowMs = windowSeconds * 1000;

interface Arrival {
  readonly atMs: number;
  readonly count: number;
}

/** Arrivals crowd around the edges, where counters go wrong. */
const schedule = fc
  .array(
    fc.record({
      gap: fc.oneof(
        fc.integer({ min: 0, max: 30 }),
        fc.integer({ min: 0, max: 6_000 }),
        fc.constantFrom(windowMs - 1, windowMs, windowMs + 1),
      ),
      count: fc.integer({ min: 1, max: 12 }),
    }),
    {
      maxLength: 80,
    },
  )
  .map((steps) => {
    let atMs = 1_700_000_000_123;
    return steps.map(({ gap, count }): Arrival => ({ atMs: (atMs += gap), count }));
  });

type Counter = (count: number, nowMs: number) => number;
const sliding = (max: number): Counter => {
  const window = new RateWindow(max, windowSeconds);
  return (count, nowMs) => window.take(window.room(count, nowMs), nowMs).taken;
};
/** The control: a window that begins with its first request and starts anew when it ends. */
const fixed = (max: number): Counter => {
  let [startedAtMs, used] = [Number.NEGATIVE_INFINITY, 0];
  return (count, nowMs) => {
    if (nowMs - startedAtMs >= windowMs) [startedAtMs, used] = [nowMs, 0];
    const taken = Math.min(count, max - used);
    used += taken;
    return taken;
  };
};

/** The most that were taken in any stretch of time as long as the window. */
function worst(counter: Counter, arrivals: readonly Arrival[]): number {
  const taken = arrivals.map(({ atMs, count }) => ({ atMs, count: counter(count, atMs) }));
  const upTo = ({ atMs }: Arrival) => taken.filter((one) => one.atMs > atMs - windowMs && one.atMs <= atMs);
  return Math.max(0, ...taken.map((end) => upTo(end).reduce((sum, { count }) => sum + count, 0)));
}

describe('a rate window', () => {
  test('never takes more than its maximum in any stretch of time as long as itself', () => {
    fc.assert(
      fc.property(schedule, fc.integer({ min: 1, max: 20 }), (arrivals, max) => {
        expect(worst(sliding(max), arrivals)).toBeLessThanOrEqual(max);
      }),
      { numRuns: 500 },
    );
  });

  test('control: a window that starts anew takes twice as many around its edge', () => {
    const edge = [0, windowMs - 1, windowMs].map((atMs, i) => ({ atMs, count: i === 0 ? 1 : 10 }));
    expect([worst(fixed(10), edge), worst(sliding(10), edge)]).toEqual([19, 10]);
  });

  test('refuses only while its maximum was taken within the window and one hundredth', () => {
    fc.assert(
      fc.property(schedule, fc.integer({ min: 1, max: 20 }), (arrivals, max) => {
        const counter = sliding(max);
        const taken: Arrival[] = [];
        for (const { atMs, count } of arrivals) {
          const fits = counter(count, atMs);
          const recent = taken.filter((one) => one.atMs > atMs - windowMs * 1.01);
          const used = recent.reduce((sum, one) => sum + one.count, 0);
          if (fits < count) expect(used + fits).toBeGreaterThanOrEqual(max);
          taken.push({ atMs, count: fits });
        }
      }),
      { numRuns: 500 },
    );
  });

  test('says to the millisecond when there is room again', () => {
    const window = new RateWindow(2, windowSeconds);
    window.take(2, 5_000);
    const { freeInMs } = window.take(0, 6_000);
    expect(freeInMs).toBe(9_000);
    expect([window.room(1, 14_999), window.room(1, 15_000)]).toEqual([0, 1]);
  });
});
