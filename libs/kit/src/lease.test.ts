import { describe, expect, test } from '@jest/globals';
import { Lease, databaseTimeMax } from './lease.js';

const at = (monoMs: number, wallMs = monoMs) => ({ monoMs, wallMs });

describe('a lease', () => {
  test('is held from the moment its request was sent until its duration has passed on the slowest clock, and not at that moment', () => {
    const lease = new Lease(100);
    expect(lease.isHeld(at(0))).toBe(false);
    lease.renew(at(1_000));
    expect(lease.isHeld(at(1_098.9))).toBe(true);
    expect(lease.isHeld(at(1_099))).toBe(false);
  });

  test('ends when the wall clock says so although the monotonic clock stood still with the machine', () => {
    const lease = new Lease(100);
    lease.renew(at(1_000, 1_000));
    expect(lease.isHeld(at(1_001, 9_000))).toBe(false);
  });

  test('ends by the monotonic clock although the wall clock was set back', () => {
    const lease = new Lease(100);
    lease.renew(at(1_000, 1_000));
    expect(lease.isHeld(at(1_100, -50_000))).toBe(false);
    expect(lease.isHeld(at(1_050, -50_000))).toBe(true);
  });

  test('is gone once dropped', () => {
    const lease = new Lease(100);
    lease.renew(at(0));
    lease.drop();
    expect(lease.isHeld(at(1))).toBe(false);
  });
});

test('the bound of the database time never lies before the true time while the clock rate is within its error', () => {
  const anchor = { databaseMs: 5_000, sent: at(100) };
  for (const rate of [0.99, 1, 1.01]) {
    const localElapsed = 10_000 * rate;
    expect(databaseTimeMax(anchor, at(100 + localElapsed))).toBeGreaterThanOrEqual(15_000 - 1e-6);
  }
});
