import { createSecretKey } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { AppError } from '@prime-nest/contracts/errors';
import { fixedClock } from '@prime-nest/kit/clock';
import { strangerLane } from './lockout.js';
import { chargeLanes } from './lockout.store.js';
import { anonymous, eventsOf, goodPassword, outcomeOf, type Fixture } from '../testing/identity-fixture.js';
import { openPlace, type IdentityPlace } from '../../test/identity-place.js';

let place: IdentityPlace;
let identity: Fixture;
const clock = fixedClock(new Date('2026-03-01T08:00:00Z'));
const minutes = (count: number) => count * 60_000;

beforeAll(async () => {
  place = await openPlace();
  identity = await place.open({ clock, env: { IDENTITY_HASH_QUEUE_MAX: '1000' } });
});
afterAll(async () => {
  await identity.close();
  await place.stop();
});

const wrong = (email: string, ip?: string, deviceToken?: string) =>
  outcomeOf(identity.login.run({ email, password: 'surely-not-this-one', deviceToken }, anonymous(ip)));
const right = (email: string, ip?: string, deviceToken?: string) =>
  outcomeOf(identity.login.run({ email, password: goodPassword, deviceToken }, anonymous(ip)));
async function failTimes(email: string, times: number): Promise<void> {
  for (let i = 0; i < times; i++) expect(await wrong(email)).toBe('invalid_credentials');
}

describe('lockout', () => {
  test('of 100 charges of one lane at once five are admitted, whatever runs them', async () => {
    const lane = strangerLane(createSecretKey(Buffer.alloc(32, 3)), 'charged@example.org');
    const policy = { attemptsMax: 5, lockSeconds: 900, sourceAttemptsMax: 200 };
    const charge = () => chargeLanes(identity.database, { lane, source: undefined, policy, now: clock() });
    const admissions = await Promise.all(Array.from({ length: 100 }, charge));
    expect(admissions.filter(({ kind }) => kind === 'admitted')).toHaveLength(5);
    expect(admissions.filter(({ kind }) => kind === 'busy')).toHaveLength(95);
  });

  test('of 1,000 wrong passwords at once five are hashed, and the right one among them has no better chance', async () => {
    const { email } = await identity.newAccount();
    const before = identity.hashCount();
    const outcomes = await Promise.all(Array.from({ length: 1000 }, () => wrong(email)));
    const count = (wanted: string) => outcomes.filter((outcome) => outcome === wanted).length;
    expect(identity.hashCount() - before).toBe(5);
    expect(count('invalid_credentials')).toBe(5);
    // A crowd may find no connection in time on a busy machine; that is no attempt and no hash.
    expect(count('login_locked') + count('unavailable')).toBe(995);
    expect(count('login_locked')).toBeGreaterThan(0);
    expect(await right(email)).toBe('login_locked');
  });

  test('counting after hashing, as the control does, admits them all', async () => {
    const { email, passwordHash } = await identity.newAccount();
    let failures = 0;
    let hashes = 0;
    const naive = async () => {
      if (failures >= 5) return;
      hashes += 1;
      await identity.hasher.verify('surely-not-this-one', passwordHash);
      failures += 1;
    };
    await Promise.all(Array.from({ length: 60 }, naive));
    expect(hashes).toBe(60);
    expect(email).toBeDefined();
  });

  test('an address nobody has is locked just like one that somebody has', async () => {
    const { email } = await identity.newAccount();
    const answers = await Promise.all(
      [email, 'nobody-at-all@example.org'].map(async (address) => {
        const seen: unknown[] = [];
        for (let i = 0; i < 7; i++) {
          const attempt = identity.login.run({ email: address, password: 'surely-not-this-one' }, anonymous());
          const error: unknown = await attempt.catch((thrown: unknown) => thrown);
          if (error instanceof AppError) seen.push({ code: error.code, details: error.details });
        }
        return seen;
      }),
    );
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]?.slice(4)).toEqual([
      { code: 'invalid_credentials', details: {} },
      { code: 'login_locked', details: { retryAfterSeconds: 900 } },
      { code: 'login_locked', details: { retryAfterSeconds: 900 } },
    ]);
  });

  test('four failures, a success and four failures do not lock; five do', async () => {
    const { email } = await identity.newAccount();
    await failTimes(email, 4);
    expect(await right(email)).toBe('ok');
    await failTimes(email, 4);
    expect(await right(email)).toBe('ok');
    await failTimes(email, 5);
    expect(await right(email)).toBe('login_locked');
  });

  test('the lock lasts its fifteen minutes to the second, and guesses meanwhile do not prolong it', async () => {
    const { email } = await identity.newAccount();
    await failTimes(email, 5);
    clock.advance(minutes(14) + 59_000);
    expect(await right(email)).toBe('login_locked');
    expect(await wrong(email)).toBe('login_locked');
    clock.advance(999);
    expect(await right(email)).toBe('login_locked');
    clock.advance(1);
    expect(await right(email)).toBe('ok');
  });

  test('failures that are fifteen minutes old are forgotten', async () => {
    const { email } = await identity.newAccount();
    await failTimes(email, 4);
    clock.advance(minutes(15));
    await failTimes(email, 4);
    expect(await right(email)).toBe('ok');
  });

  test('strangers who go on wait twice as long each time, at most four hours, and a quiet day takes a step back', async () => {
    const { email, id } = await identity.newAccount();
    const lengths: number[] = [];
    for (let i = 0; i < 6; i++) {
      await failTimes(email, 5);
      const until = (await identity.accounts.get(id)).lockedUntil ?? '';
      lengths.push((Date.parse(until) - clock().getTime()) / 60_000);
      clock.advance(Date.parse(until) - clock().getTime());
    }
    expect(lengths).toEqual([15, 30, 60, 120, 240, 240]);
    clock.advance(4 * 24 * 3600_000);
    await failTimes(email, 5);
    expect(Date.parse((await identity.accounts.get(id)).lockedUntil ?? '') - clock().getTime()).toBe(minutes(60));
  });

  test('a known device signs in while strangers are locked out, and has its own five attempts', async () => {
    const account = await identity.newAccount();
    const { deviceToken } = await identity.login.run(account, anonymous());
    await failTimes(account.email, 5);
    expect(await right(account.email)).toBe('login_locked');
    expect(await right(account.email, undefined, deviceToken)).toBe('ok');
    for (let i = 0; i < 5; i++) expect(await wrong(account.email, undefined, deviceToken)).toBe('invalid_credentials');
    expect(await right(account.email, undefined, deviceToken)).toBe('login_locked');
  });

  test('a device token of one account means nothing for another, nor does a made-up one', async () => {
    const [mine, theirs] = [await identity.newAccount(), await identity.newAccount()];
    const { deviceToken } = await identity.login.run(mine, anonymous());
    await failTimes(theirs.email, 5);
    expect(await right(theirs.email, undefined, deviceToken)).toBe('login_locked');
    expect(await right(theirs.email, undefined, `dt1.${mine.id}.${'A'.repeat(43)}`)).toBe('login_locked');
  });

  test('one address that tries many accounts is locked for all of them, and known devices behind it are not', async () => {
    const account = await identity.newAccount();
    const { deviceToken } = await identity.login.run(account, anonymous());
    const spray = '198.51.100.77';
    let tried = 0;
    while ((await wrong(`victim-${tried}@example.org`, spray)) === 'invalid_credentials') tried += 1;
    expect(tried).toBe(200);
    expect(await right(account.email, spray)).toBe('login_locked');
    expect(await right(account.email, '198.51.100.78')).toBe('ok');
    expect(await right(account.email, spray, deviceToken)).toBe('ok');
  });

  test('an administrator unlocks at once, and both lock and unlock are recorded once', async () => {
    const { email, id } = await identity.newAccount();
    await failTimes(email, 5);
    expect(await wrong(email)).toBe('login_locked');
    await identity.management.unlock(id, anonymous());
    expect((await identity.accounts.get(id)).lockedUntil).toBeNull();
    expect(await right(email)).toBe('ok');
    const types = (await eventsOf(identity.database, id)).map(({ type }) => type);
    expect(types.filter((type) => type.endsWith('failed.v1'))).toHaveLength(5);
    expect(types.filter((type) => type.endsWith('locked.v1') && !type.includes('unlocked'))).toHaveLength(1);
    expect(types.filter((type) => type.endsWith('unlocked.v1'))).toHaveLength(1);
  });

  test('the current password cannot be guessed at the change either, and that lock is not the one of the sign-in', async () => {
    const { id, email } = await identity.newAccount();
    const guess = (currentPassword: string) =>
      outcomeOf(
        identity.passwords.run({ accountId: id, currentPassword, newPassword: 'violet-harbor-7-moss' }, anonymous()),
      );
    for (let i = 0; i < 5; i++) expect(await guess('surely-not-this-one')).toBe('invalid_credentials');
    expect(await guess(goodPassword)).toBe('login_locked');
    expect(await right(email)).toBe('ok');
  });

  test('an attempt that found no thread to hash on is answered at once and not counted', async () => {
    const { email, id } = await identity.newAccount();
    clock.advance(1);
    const busy = await place.open({ clock, env: { IDENTITY_HASH_THREADS: '1', IDENTITY_HASH_QUEUE_MAX: '1' } });
    const outcomes = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        outcomeOf(
          busy.login.run(
            { email: i === 0 ? email : `other-${i}@example.org`, password: 'wrong-one-here' },
            anonymous(),
          ),
        ),
      ),
    );
    expect(outcomes).toContain('overloaded');
    const lanes = await busy.database.query<{ failures: number }>(
      'SELECT failures FROM login_lane WHERE window_started_at = $1',
      [clock()],
    );
    const counted = lanes.reduce((sum, { failures }) => sum + failures, 0);
    expect(counted).toBe(outcomes.filter((outcome) => outcome === 'invalid_credentials').length);
    expect((await identity.accounts.get(id)).lockedUntil).toBeNull();
    await busy.close();
  });
});
