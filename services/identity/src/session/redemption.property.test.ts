import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { judgeRedemption, retryWindowSeconds } from './redemption.js';
import type { Redemption } from './redemption.js';

const rotatedAt = new Date('2026-03-01T08:00:00Z');
const redemption: fc.Arbitrary<Redemption> = fc.record({
  presentedGeneration: fc.nat(6),
  currentGeneration: fc.nat(6),
  isLive: fc.boolean(),
  rotatedAt: fc.constant(rotatedAt),
  isSameRequest: fc.boolean(),
  // A clock that was set back gives a rotation in the future.
  now: fc.integer({ min: -5_000, max: 90_000 }).map((ms) => new Date(rotatedAt.getTime() + ms)),
  reuseWindowSeconds: fc.constantFrom(0, 1, 30),
});

describe('whoever presents a refresh token', () => {
  test('gets an answer again only for the token before the current one, in time, of a live session', () => {
    fc.assert(
      fc.property(redemption, (given) => {
        if (judgeRedemption(given).kind !== 'repeat') return;
        const ageMs = given.now.getTime() - rotatedAt.getTime();
        expect(given.isLive).toBe(true);
        expect(given.currentGeneration - given.presentedGeneration).toBe(1);
        const isRetry = given.isSameRequest && ageMs <= retryWindowSeconds * 1000;
        const isOverlap = given.reuseWindowSeconds > 0 && ageMs <= given.reuseWindowSeconds * 1000;
        expect(isRetry || isOverlap).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  test('ends the session with any older token of a live session, unless it is told the answer again', () => {
    fc.assert(
      fc.property(redemption, (given) => {
        if (!given.isLive || given.presentedGeneration >= given.currentGeneration) return;
        expect(['reuse', 'repeat']).toContain(judgeRedemption(given).kind);
      }),
      { numRuns: 1_000 },
    );
  });

  test('has no window at all in the strict mode, not even in the instant of the rotation', () => {
    fc.assert(
      fc.property(redemption, (given) => {
        const strict = { ...given, reuseWindowSeconds: 0, isSameRequest: false };
        expect(judgeRedemption(strict).kind).not.toBe('repeat');
        expect(judgeRedemption({ ...strict, now: rotatedAt }).kind).not.toBe('repeat');
      }),
    );
  });
});
