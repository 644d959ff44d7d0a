import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { findAccountByEmail } from '../account/account.store.js';
import { anonymous, outcomeOf, type Fixture } from '../testing/identity-fixture.js';
import { openPlace, type IdentityPlace } from '../../test/identity-place.js';

let place: IdentityPlace;
let identity: Fixture;
/** The same accounts under a lockout that is reached at once. */
let strict: Fixture;
/** With as many, two kinds that are the same land outside of the bounds below less than once in 100,000 runs. */
const samples = 120;
// A control is told apart far outside of them; a crowded machine blurs it, too.
const bounds = { low: 0.33, high: 0.67, control: 0.85 };

beforeAll(async () => {
  place = await openPlace();
  const open = (attempts: string) => place.open({ env: { LOCKOUT_MAX_ATTEMPTS: attempts } });
  identity = await open('1000000');
  strict = await open('1');
});
afterAll(async () => {
  await Promise.all([identity.close(), strict.close()]);
  await place.stop();
});

/** How well one duration tells which of two kinds it is: 0.5 is not at all, 0 and 1 are always. */
function areaUnderCurve(these: readonly number[], those: readonly number[]): number {
  let wins = 0;
  for (const a of these) for (const b of those) wins += a > b ? 1 : a === b ? 0.5 : 0;
  return wins / (these.length * those.length);
}

async function timed(attempt: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await outcomeOf(attempt());
  return performance.now() - start;
}

/** Samples of all kinds, in turns and each turn in another order: a busy moment of the machine hits all alike. */
async function sample<K extends string>(kinds: Readonly<Record<K, () => Promise<unknown>>>): Promise<Map<K, number[]>> {
  const names = Object.keys(kinds) as K[];
  const durations = new Map(names.map((name) => [name, [] as number[]]));
  for (let i = -5; i < samples; i++) {
    for (const name of names.toSorted(() => Math.random() - 0.5)) {
      const duration = await timed(kinds[name]);
      if (i >= 0) durations.get(name)?.push(duration);
    }
  }
  return durations;
}

function expectAlike(these: readonly number[] = [], those: readonly number[] = []): void {
  const area = areaUnderCurve(these, those);
  expect(area).toBeGreaterThan(bounds.low);
  expect(area).toBeLessThan(bounds.high);
}

test('the time of a refusal does not tell whether the account exists, and that of a hasty implementation does', async () => {
  const known = await identity.newAccount();
  const inactive = await identity.newAccount();
  await identity.management.update({ id: inactive.id, isActive: false }, anonymous());
  const attempt = (email: string, password: string) => () => identity.login.run({ email, password }, anonymous());
  const durations = await sample({
    wrong: attempt(known.email, 'surely-not-this-one'),
    unknown: attempt('nobody@example.org', 'surely-not-this-one'),
    inactive: attempt(inactive.email, inactive.password),
    control: async () => {
      const account = await findAccountByEmail(identity.database, 'nobody@example.org');
      if (account !== undefined) await identity.hasher.verify('surely-not-this-one', account.passwordHash);
    },
  });
  expectAlike(durations.get('unknown'), durations.get('wrong'));
  expectAlike(durations.get('inactive'), durations.get('wrong'));
  expect(areaUnderCurve(durations.get('wrong') ?? [], durations.get('control') ?? [])).toBeGreaterThan(bounds.control);
}, 180_000);

test('the time of a locked answer does not tell either, and one more hash in it would', async () => {
  const known = await strict.newAccount();
  const inactive = await strict.newAccount();
  await strict.management.update({ id: inactive.id, isActive: false }, anonymous());
  const attempt = (email: string) => () => strict.login.run({ email, password: 'surely-not-this-one' }, anonymous());
  const kinds = {
    known: attempt(known.email),
    unknown: attempt('nobody-either@example.org'),
    inactive: attempt(inactive.email),
  };
  for (const kind of Object.values(kinds)) expect(await outcomeOf(kind())).toBe('invalid_credentials');
  for (const kind of Object.values(kinds)) expect(await outcomeOf(kind())).toBe('login_locked');
  const control = async () => {
    await outcomeOf(kinds.known());
    await strict.hasher.verify('surely-not-this-one', known.passwordHash);
  };
  const durations = await sample({ ...kinds, control });
  expectAlike(durations.get('unknown'), durations.get('known'));
  expectAlike(durations.get('inactive'), durations.get('known'));
  expect(areaUnderCurve(durations.get('control') ?? [], durations.get('known') ?? [])).toBeGreaterThan(bounds.control);
}, 180_000);
