import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Lease, clockRateErrorMax, databaseTimeMax } from './lease.js';

const moment = fc.record({ monoMs: fc.nat(10_000_000), wallMs: fc.nat(10_000_000) });
const later = fc.record({ monoMs: fc.nat(100_000), wallMs: fc.integer({ min: -100_000, max: 100_000 }) });

describe('a lease', () => {
  test('is never held once either clock has passed its end, and always until then', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60_000 }), moment, later, (durationMs, sent, passed) => {
        const lease = new Lease(durationMs);
        lease.renew(sent);
        const now = { monoMs: sent.monoMs + passed.monoMs, wallMs: sent.wallMs + passed.wallMs };
        const end = durationMs * (1 - clockRateErrorMax);
        expect(lease.isHeld(now)).toBe(Math.max(passed.monoMs, passed.wallMs) < end);
        lease.drop();
        expect(lease.isHeld(sent)).toBe(false);
      }),
    );
  });

  test('ends before the database says so, however slow this clock may run within its bound', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 60_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (durationMs, share) => {
          const lease = new Lease(durationMs);
          lease.renew({ monoMs: 0, wallMs: 0 });
          // The slowest clock that is allowed shows this much when the database's lease ends.
          const shown = durationMs * (1 - clockRateErrorMax * share);
          expect(lease.isHeld({ monoMs: shown, wallMs: shown })).toBe(false);
        },
      ),
    );
  });

  test('and the latest time of the database never lies before the time it showed', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(1_000_000), (databaseMs, passed) => {
        const at = databaseTimeMax({ databaseMs, sent: { monoMs: 5, wallMs: 5 } }, { monoMs: 5 + passed, wallMs: 0 });
        expect(at).toBeGreaterThanOrEqual(databaseMs + passed);
      }),
    );
  });
});
