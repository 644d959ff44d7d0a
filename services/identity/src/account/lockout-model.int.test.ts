import { createSecretKey, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Fixture } from '../testing/identity-fixture.js';
import { openPlace, type IdentityPlace } from '../../test/identity-place.js';
import fc from 'fast-check';
import { chargeSeconds, escalation, standingOf, strangerLane } from './lockout.js';
import { chargeLanes, failCharge, passCharge, releaseCharge, type Charge } from './lockout.store.js';

let place: IdentityPlace;
let identity: Fixture;
beforeAll(async () => {
  place = await openPlace();
  identity = await place.open();
});
afterAll(async () => {
  await identity.close();
  await place.stop();
});

const policy = { attemptsMax: 3, lockSeconds: 900, sourceAttemptsMax: 200 };
const start = Date.parse('2026-03-01T08:00:00Z');

/** The rule in plain words of TypeScript, one attempt after the other; times in seconds. */
class Model {
  readonly charged = new Map<Charge, number>();
  failures = 0;
  windowFrom = 0;
  lockedUntil = -1;
  locks = 0;
  lockedAt = 0;
  failedAt = -1;

  #age(now: number): void {
    const isLockOver = this.lockedUntil >= 0 && this.lockedUntil <= now;
    if (isLockOver || this.windowFrom + policy.lockSeconds <= now) this.failures = 0;
  }

  standing(now: number) {
    const live = [...this.charged.values()].filter((at) => at >= now - chargeSeconds);
    const isLockOver = this.lockedUntil >= 0 && this.lockedUntil <= now;
    const isOld = this.windowFrom + policy.lockSeconds <= now;
    const state = {
      failures: isLockOver || isOld ? 0 : this.failures,
      charges: live.length,
      lockedUntil: this.lockedUntil < 0 ? null : new Date(start + this.lockedUntil * 1000),
      windowEndsAt: new Date(start + (this.windowFrom + policy.lockSeconds) * 1000),
    };
    return standingOf(state, policy.attemptsMax, new Date(start + now * 1000));
  }

  charge(charge: Charge, now: number): void {
    this.#age(now);
    if (this.lockedUntil <= now) this.lockedUntil = -1;
    if (this.windowFrom + policy.lockSeconds <= now || this.failures === 0) this.windowFrom = now;
    for (const [old, at] of this.charged) if (at < now - chargeSeconds) this.charged.delete(old);
    this.charged.set(charge, now);
  }

  fail(charge: Charge, now: number): boolean {
    if (!this.charged.delete(charge)) return false;
    this.#age(now);
    if (this.failures === 0) this.windowFrom = now;
    this.failures += 1;
    this.failedAt = now;
    this.lockedUntil = -1;
    if (this.failures < policy.attemptsMax) return true;
    const earlier = Math.max(0, this.locks - Math.floor((now - this.lockedAt) / escalation.decaySeconds));
    this.lockedUntil = now + Math.min(policy.lockSeconds * 2 ** earlier, escalation.capSeconds);
    this.locks = earlier + 1;
    this.lockedAt = now;
    return true;
  }

  pass(charge: Charge, askedAt: number): boolean {
    if (!this.charged.delete(charge)) return false;
    if (this.failedAt > askedAt) return true;
    this.failures = 0;
    this.locks = 0;
    return true;
  }
}

const steps = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.constant({ do: 'charge' } as const) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('fail' as const), which: fc.nat(5) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), which: fc.nat(5), ago: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('release' as const), which: fc.nat(5) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('wait' as const),
        seconds: fc.constantFrom(1, 9, 11, 450, 899, 901, 90_000),
      }),
    },
  ),
  { minLength: 5, maxLength: 40 },
);

test('the statements do what the rule says, in any order of charges, failures, successes and time', async () => {
  const { database } = identity;
  await fc.assert(
    fc.asyncProperty(steps, async (plan) => {
      const model = new Model();
      const lane = strangerLane(createSecretKey(randomBytes(32)), 'model@example.org');
      /** Every charge ever, also those that were given up: settling them must be refused. */
      const charges: Charge[] = [];
      let now = 0;
      for (const step of plan) {
        const at = new Date(start + now * 1000);
        const charge = 'which' in step ? charges.at(-1 - step.which) : undefined;
        if (step.do === 'wait') now += step.seconds;
        if (step.do === 'charge') {
          const expected = model.standing(now);
          const admission = await chargeLanes(database, { lane, source: undefined, policy, now: at });
          if (expected.kind !== 'open') expect(admission).toEqual({ ...expected, isOwn: true });
          else if (admission.kind !== 'admitted') expect(admission.kind).toBe('admitted');
          else {
            charges.push(admission.charge);
            model.charge(admission.charge, now);
          }
          expect(model.failures + model.charged.size).toBeLessThanOrEqual(policy.attemptsMax);
        }
        if (charge === undefined) continue;
        if (step.do === 'fail') {
          const failed = await database.transaction((tx) => failCharge(tx, charge, policy, at));
          expect(failed !== undefined).toBe(model.fail(charge, now));
          if (failed !== undefined) {
            const until = model.lockedUntil < 0 ? null : new Date(start + model.lockedUntil * 1000);
            expect(failed).toEqual([{ kind: 'stranger', failures: model.failures, lockedUntil: until }]);
          }
        }
        if (step.do === 'pass') {
          const askedAt = now - step.ago;
          const isHeld = await database.transaction((tx) => passCharge(tx, charge, new Date(start + askedAt * 1000)));
          expect(isHeld).toBe(model.pass(charge, askedAt));
        }
        if (step.do === 'release') {
          await releaseCharge(database, charge);
          model.charged.delete(charge);
        }
      }
    }),
    { numRuns: 60 },
  );
}, 60_000);
