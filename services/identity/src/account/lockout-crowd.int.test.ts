import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { AppError } from '@prime-nest/contracts/errors';
import { fixedClock } from '@prime-nest/kit/clock';
import { eventually } from '@prime-nest/testkit/eventually';
import { anonymous, eventsOf, goodPassword, outcomeOf, type Fixture } from '../testing/identity-fixture.js';
import { openPlace, type IdentityPlace } from '../../test/identity-place.js';
import { chargeSeconds, strangerLane } from './lockout.js';
import { chargeLanes, failCharge, passCharge, type Charge } from './lockout.store.js';

const queue = { IDENTITY_HASH_QUEUE_MAX: '1000' };
const clock = fixedClock(new Date('2026-03-01T08:00:00Z'));
const policy = { attemptsMax: 5, lockSeconds: 900, sourceAttemptsMax: 200 };

let place: IdentityPlace;
/** By the time of the day, as many at once as there are. */
let crowd: Fixture;
/** The same accounts by a clock that stands still. */
let still: Fixture;

beforeAll(async () => {
  place = await openPlace();
  crowd = await place.open({ env: queue });
  still = await place.open({ env: queue, clock });
});
afterAll(async () => {
  await Promise.all([crowd.close(), still.close()]);
  await place.stop();
});

const laneOf = ({ envelope }: Fixture, email: string) => strangerLane(envelope.derive('lockout lanes'), email);

interface LaneRow {
  readonly failures: number;
  readonly charges: number;
  readonly locks: number;
}

async function laneRow(identity: Fixture, email: string): Promise<LaneRow | undefined> {
  const sql = 'SELECT failures, cardinality(charges) AS charges, lock_count AS locks FROM login_lane WHERE lane = $1';
  return (await identity.database.query<LaneRow>(sql, [laneOf(identity, email).key]))[0];
}

function count(outcomes: readonly string[], wanted: string): number {
  return outcomes.filter((outcome) => outcome === wanted).length;
}

/** What is left by a process that was killed between charging and settling. */
async function chargeAndDie(identity: Fixture, email: string): Promise<Charge> {
  const admission = await chargeLanes(identity.database, {
    lane: laneOf(identity, email),
    source: undefined,
    policy,
    now: clock(),
  });
  if (admission.kind !== 'admitted') throw new Error(`not admitted: ${admission.kind}`);
  return admission.charge;
}

async function refusalOf(call: Promise<unknown>): Promise<unknown> {
  const error: unknown = await call.catch((thrown: unknown) => thrown);
  return error instanceof AppError ? { code: error.code, details: error.details } : error;
}

describe('of one account at once', () => {
  test('fifty right passwords all sign in, and lock nothing', async () => {
    const { email, password, id } = await crowd.newAccount();
    // Asked again when told so, as the answer says. A busy machine may need it; the bound is what matters.
    const signIn = () =>
      eventually(
        async () => {
          const outcome = await outcomeOf(crowd.login.run({ email, password }, anonymous('192.0.2.50')));
          expect(['ok', 'rate_limited', 'unavailable']).toContain(outcome);
          return outcome === 'ok';
        },
        { deadlineMs: 20_000, intervalMs: 100 },
      );
    await Promise.all(Array.from({ length: 50 }, signIn));
    expect(await laneRow(crowd, email)).toEqual({ failures: 0, charges: 0, locks: 0 });
    expect((await crowd.accounts.get(id)).lockedUntil).toBeNull();
    const types = (await eventsOf(crowd.database, id)).map(({ type }) => type);
    expect(types.filter((type) => type.includes('failed') || type.includes('locked'))).toEqual([]);
  });

  test('right passwords among wrong ones make no room for a sixth wrong one', async () => {
    const { email, password } = await crowd.newAccount();
    const before = crowd.hashCount();
    const tried = Array.from({ length: 250 }, (_, i) => (i % 5 === 0 ? password : 'surely-not-this-one'));
    const outcomes = await Promise.all(
      tried.map((one) => outcomeOf(crowd.login.run({ email, password: one }, anonymous()))),
    );
    const wrong = outcomes.filter((_, i) => tried[i] !== password);
    expect(count(wrong, 'invalid_credentials')).toBe(5);
    expect(crowd.hashCount() - before).toBe(5 + count(outcomes, 'ok'));
    expect(await laneRow(crowd, email)).toEqual({ failures: 5, charges: 0, locks: 1 });
  });
});

describe('a process killed between charge and settlement', () => {
  test('holds up five attempts at most, for a moment, with a short wait, for known and unknown alike', async () => {
    const { email } = await still.newAccount();
    const nobody = 'nobody-in-the-crowd@example.org';
    for (const address of [email, nobody]) for (let i = 0; i < 5; i++) await chargeAndDie(still, address);
    const before = still.hashCount();
    for (const address of [email, nobody]) {
      const attempt = still.login.run({ email: address, password: goodPassword }, anonymous());
      expect(await refusalOf(attempt)).toEqual({ code: 'rate_limited', details: { retryAfterSeconds: 1 } });
    }
    expect(still.hashCount()).toBe(before);
    expect(await laneRow(still, email)).toEqual({ failures: 0, charges: 5, locks: 0 });
    clock.advance(chargeSeconds * 1000 + 1);
    expect(await outcomeOf(still.login.run({ email, password: goodPassword }, anonymous()))).toBe('ok');
    expect(await laneRow(still, email)).toEqual({ failures: 0, charges: 0, locks: 0 });
  });

  test('five failures instead of five charges lock, as the control shows', async () => {
    const { email } = await still.newAccount();
    for (let i = 0; i < 5; i++) {
      const charge = await chargeAndDie(still, email);
      await still.database.transaction((tx) => failCharge(tx, charge, policy, clock()));
    }
    const attempt = still.login.run({ email, password: goodPassword }, anonymous());
    expect(await refusalOf(attempt)).toEqual({ code: 'login_locked', details: { retryAfterSeconds: 900 } });
  });
});

describe('an attempt that outlived its charge', () => {
  test('is worth nothing, right or wrong: who makes processes stand still gets no further guess', async () => {
    const { email } = await still.newAccount();
    const old = await chargeAndDie(still, email);
    clock.advance(chargeSeconds * 1000 + 1);
    for (let i = 0; i < 5; i++) await chargeAndDie(still, email);
    const { database } = still;
    expect(await database.transaction((tx) => passCharge(tx, old, clock()))).toBe(false);
    expect(await database.transaction((tx) => failCharge(tx, old, policy, clock()))).toBeUndefined();
    expect(await laneRow(still, email)).toEqual({ failures: 0, charges: 5, locks: 0 });
  });

  test('opens no session although its password was right, and is not told so', async () => {
    const { email, password, id } = await still.newAccount();
    const { database } = still;
    let late: Promise<string> = Promise.resolve('');
    await database.transaction(async (tx) => {
      // Held here, the sign-in has compared its password and has not settled it.
      await tx.query('SELECT 1 FROM account WHERE id = $1 FOR UPDATE', [id]);
      late = outcomeOf(still.login.run({ email, password }, anonymous()));
      await eventually(async () => (await laneRow(still, email))?.charges === 1, { intervalMs: 2, deadlineMs: 1500 });
      await database.query(`UPDATE login_lane SET charges = '{}' WHERE lane = $1`, [laneOf(still, email).key]);
    });
    expect(await late).toBe('unavailable');
    expect(await database.query('SELECT 1 FROM session WHERE account_id = $1', [id])).toEqual([]);
  });
});

describe('an unlock', () => {
  test('forgives what failed and leaves charged what is being compared', async () => {
    const { email, id } = await still.newAccount();
    const failing = await chargeAndDie(still, email);
    await still.database.transaction((tx) => failCharge(tx, failing, policy, clock()));
    await chargeAndDie(still, email);
    await still.management.unlock(id, anonymous());
    expect(await laneRow(still, email)).toEqual({ failures: 0, charges: 1, locks: 0 });
  });
});
