import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { testKeyPair } from '@prime-nest/testkit/keys';
import { startTestNats, type TestNats } from '@prime-nest/testkit/nats';
import { createTestDatabase, type TestDatabase } from '@prime-nest/testkit/postgres';
import { findAccountByEmail } from '../account/account.store.js';
import { migrations } from '../migrations/migrate.js';
import { anonymous, openFixture, outcomeOf, type Fixture } from '../testing/identity-fixture.js';

let nats: TestNats;
let store: TestDatabase;
let identity: Fixture;
const samples = 80;

beforeAll(async () => {
  [nats, store] = await Promise.all([
    startTestNats({ streams: false }),
    createTestDatabase({ service: 'identity', migrations }),
  ]);
  identity = await openFixture({
    databaseUrl: store.url,
    nats: nats.credentials('identity'),
    keyPair: testKeyPair(),
    env: { LOCKOUT_MAX_ATTEMPTS: '1000000' },
  });
});
afterAll(async () => {
  await identity.close();
  await Promise.all([nats.stop(), store.drop()]);
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

/** Samples taken in turns, so that a busy moment of the machine hits all kinds alike. */
test('the time of a refusal does not tell whether the account exists, and that of a hasty implementation does', async () => {
  const known = await identity.newAccount();
  const inactive = await identity.newAccount();
  await identity.management.update({ id: inactive.id, isActive: false }, anonymous());
  const attempt = (email: string, password: string) => () => identity.login.run({ email, password }, anonymous());
  const hasty = async () => {
    const account = await findAccountByEmail(identity.database, 'nobody@example.org');
    if (account !== undefined) await identity.hasher.verify('surely-not-this-one', account.passwordHash);
  };
  const kinds = {
    wrong: attempt(known.email, 'surely-not-this-one'),
    unknown: attempt('nobody@example.org', 'surely-not-this-one'),
    inactive: attempt(inactive.email, inactive.password),
    control: hasty,
  };
  const durations: Record<keyof typeof kinds, number[]> = { wrong: [], unknown: [], inactive: [], control: [] };
  for (let i = -5; i < samples; i++) {
    for (const kind of Object.keys(kinds) as (keyof typeof kinds)[]) {
      const duration = await timed(kinds[kind]);
      if (i >= 0) durations[kind].push(duration);
    }
  }
  for (const kind of ['unknown', 'inactive'] as const) {
    const area = areaUnderCurve(durations[kind], durations.wrong);
    expect(area).toBeGreaterThan(0.35);
    expect(area).toBeLessThan(0.65);
  }
  expect(areaUnderCurve(durations.wrong, durations.control)).toBeGreaterThan(0.95);
});
