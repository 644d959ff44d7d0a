import { hashSync } from '@node-rs/argon2';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { fixedClock } from '@prime-nest/kit/clock';
import { newId } from '@prime-nest/kit/ids';
import { listRevocations } from '../session/revocation.store.js';
import { anonymous, eventsOf, goodPassword, outcomeOf, type Fixture } from '../testing/identity-fixture.js';
import { openPlace, type IdentityPlace } from '../../test/identity-place.js';
import { findAccount } from './account.store.js';
import { isCurrentHash } from './password-hash.js';

let place: IdentityPlace;
let identity: Fixture;
const clock = fixedClock(new Date('2026-03-01T08:00:00Z'));

beforeAll(async () => {
  place = await openPlace();
  identity = await place.open({ clock });
});
afterAll(async () => {
  await identity.close();
  await place.stop();
});

const create = (email: string, name = 'Somebody') =>
  identity.creation.run({ id: newId(), email, name, password: goodPassword }, anonymous());
const login = (email: string, password = goodPassword) => identity.login.run({ email, password }, anonymous());
const refresh = (refreshToken: string) => outcomeOf(identity.refresh.run({ refreshToken }, anonymous()));
const isEpochRevoked = async (accountId: string) => {
  const { revocations } = await listRevocations(identity.database, { after: 0, max: 2_000, now: clock() });
  return revocations.some((revocation) => revocation.kind === 'epoch' && revocation.accountId === accountId);
};

describe('accounts', () => {
  test('an address belongs to one account at a time: of 20 who want it one gets it, and after deletion it is free', async () => {
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => outcomeOf(create('wanted@example.org'))));
    expect(outcomes.filter((outcome) => outcome === 'ok')).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === 'email_taken')).toHaveLength(19);
    const [owner] = (await identity.accounts.list({ limit: 1, offset: 0, search: 'wanted@' })).data;
    await identity.management.remove(owner?.id ?? '', anonymous());
    expect(await outcomeOf(create('wanted@example.org'))).toBe('ok');
    expect(await outcomeOf(identity.accounts.get(owner?.id ?? ''))).toBe('not_found');
  });

  test('the list is paged in a fixed order, and the search takes its text literally', async () => {
    for (const name of ['Ann 100%', 'Ann 100x', 'ANN_B', 'Annyb']) await create(`${newId()}@pages.example`, name);
    const found = async (search: string) =>
      (await identity.accounts.list({ limit: 100, offset: 0, search })).data.map(({ name }) => name);
    expect(await found('100%')).toEqual(['Ann 100%']);
    expect(await found('n_b')).toEqual(['ANN_B']);
    expect(await found('pages.example')).toHaveLength(4);
    expect(await found('\\')).toEqual([]);
    const pages = await Promise.all(
      [0, 2].map((offset) => identity.accounts.list({ limit: 2, offset, search: 'pages.example' })),
    );
    expect(pages.map(({ total }) => total)).toEqual([4, 4]);
    expect(pages.flatMap(({ data }) => data.map(({ name }) => name))).toEqual([
      'Ann 100%',
      'Ann 100x',
      'ANN_B',
      'Annyb',
    ]);
  });

  test('an update records what changed and nothing when nothing did', async () => {
    const { id, email } = await create('edited@example.org', 'Before');
    await identity.management.update({ id, name: 'After' }, anonymous());
    await identity.management.update({ id, name: 'After', isActive: true }, anonymous());
    const events = await eventsOf(identity.database, id);
    expect(events.map(({ type, change }) => ({ type, change }))).toEqual([
      { type: 'identity.account.created.v1', change: { after: { email, name: 'Before', isActive: true } } },
      { type: 'identity.account.updated.v1', change: { before: { name: 'Before' }, after: { name: 'After' } } },
    ]);
  });

  test('deactivation ends every session with one revocation; activation brings none back', async () => {
    const { id, email } = await create('paused@example.org');
    const [first, second] = [await login(email), await login(email)];
    await identity.management.update({ id, isActive: false }, anonymous());
    expect(await isEpochRevoked(id)).toBe(true);
    expect(await outcomeOf(login(email))).toBe('invalid_credentials');
    await identity.management.update({ id, isActive: true }, anonymous());
    for (const { refresh_token } of [first, second]) expect(await refresh(refresh_token)).toBe('invalid_grant');
    expect(await outcomeOf(login(email))).toBe('ok');
  });

  test('a deleted account cannot be signed in to, edited, unlocked or deleted again', async () => {
    const { id, email } = await create('gone@example.org');
    const { refresh_token } = await login(email);
    await identity.management.remove(id, anonymous());
    expect(await refresh(refresh_token)).toBe('invalid_grant');
    expect(await outcomeOf(login(email))).toBe('invalid_credentials');
    for (const call of [
      () => identity.management.update({ id, name: 'Back' }, anonymous()),
      () => identity.management.remove(id, anonymous()),
      () => identity.management.unlock(id, anonymous()),
      () => identity.sessions.list(id),
      () =>
        identity.passwords.run(
          { accountId: id, currentPassword: goodPassword, newPassword: 'violet-harbor-7-moss' },
          anonymous(),
        ),
      () => identity.resets.issue(id, anonymous()),
    ]) {
      expect(await outcomeOf(call())).toBe('not_found');
    }
  });
});

describe('passwords', () => {
  test('a change ends every session, and the event holds no secret', async () => {
    const { id, email } = await create('changing@example.org');
    const { refresh_token } = await login(email);
    const newPassword = 'violet-harbor-7-moss';
    await identity.passwords.run({ accountId: id, currentPassword: goodPassword, newPassword }, anonymous());
    expect(await refresh(refresh_token)).toBe('invalid_grant');
    expect(await outcomeOf(login(email))).toBe('invalid_credentials');
    expect(await outcomeOf(login(email, newPassword))).toBe('ok');
    const { passwordHash = '' } = (await findAccount(identity.database, id)) ?? {};
    const everything = JSON.stringify(await eventsOf(identity.database, id)) + identity.logged.join('');
    for (const secret of [goodPassword, newPassword, passwordHash, refresh_token])
      expect(everything).not.toContain(secret);
  });

  test('a new password that is weak, or the old one, is refused before anything is counted', async () => {
    const { id } = await create('weak@example.org');
    for (const newPassword of ['short', 'Password12345', goodPassword, 'Weak@Example.org']) {
      for (let i = 0; i < 3; i++) {
        const change = identity.passwords.run(
          { accountId: id, currentPassword: goodPassword, newPassword },
          anonymous(),
        );
        expect(await outcomeOf(change)).toBe('password_rejected');
      }
    }
  });

  test('what looks the same is the same password', async () => {
    const { email } = await identity.creation.run(
      { id: newId(), email: 'umlaut@example.org', name: 'U', password: 'gr\u00fcne-wiesen-und-seen' },
      anonymous(),
    );
    expect(await outcomeOf(login(email, 'gru\u0308ne-wiesen-und-seen'))).toBe('ok');
  });

  test.each([
    ['memory', { memoryCost: 8192 }],
    ['time', { timeCost: 1 }],
    ['length', { outputLen: 24 }],
  ])(
    'a hash with another %s parameter is replaced at the next sign-in, and the session stays',
    async (_name, parameters) => {
      const { id, email } = await create(`${newId()}@example.org`);
      const old = hashSync(goodPassword, parameters);
      await identity.database.query('UPDATE account SET password_hash = $2 WHERE id = $1', [id, old]);
      const { refresh_token } = await login(email);
      const { passwordHash = '' } = (await findAccount(identity.database, id)) ?? {};
      expect([isCurrentHash(old), isCurrentHash(passwordHash)]).toEqual([false, true]);
      expect(await refresh(refresh_token)).toBe('ok');
      expect(await outcomeOf(login(email))).toBe('ok');
    },
  );
});

describe('reset codes', () => {
  const newPassword = 'violet-harbor-7-moss';
  const redeem = (resetCode: string, password = newPassword) =>
    outcomeOf(identity.resets.redeem({ resetCode, newPassword: password }, anonymous()));

  test('a code is worth one new password however many present it; it ends sessions and opens locks', async () => {
    const { id, email } = await create('reset@example.org');
    const { refresh_token } = await login(email);
    for (let i = 0; i < 5; i++) await outcomeOf(login(email, 'surely-not-this-one'));
    const { resetCode } = await identity.resets.issue(id, anonymous());
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => redeem(resetCode)));
    expect(outcomes.filter((outcome) => outcome === 'ok')).toHaveLength(1);
    expect(new Set(outcomes)).toEqual(new Set(['ok', 'reset_code_invalid']));
    expect(await refresh(refresh_token)).toBe('invalid_grant');
    expect(await isEpochRevoked(id)).toBe(true);
    expect(await outcomeOf(login(email, newPassword))).toBe('ok');
  });

  test('unknown, used, replaced, expired and outdated codes are refused alike', async () => {
    const { id } = await create('codes@example.org');
    const issue = async () => (await identity.resets.issue(id, anonymous())).resetCode;
    const replaced = await issue();
    const used = await issue();
    expect(await redeem(used)).toBe('ok');
    const outdated = await issue();
    await identity.passwords.run(
      { accountId: id, currentPassword: newPassword, newPassword: goodPassword },
      anonymous(),
    );
    const expired = await issue();
    clock.advance(30 * 60_000);
    for (const code of [replaced, used, outdated, expired, `pr1_${'A'.repeat(43)}`, '', 'pr1_', `${expired} `]) {
      expect(await redeem(code)).toBe('reset_code_invalid');
    }
  });

  test('a weak password leaves the code usable, and the code is written nowhere', async () => {
    const { id } = await create('kept@example.org');
    const { resetCode } = await identity.resets.issue(id, anonymous());
    expect(await redeem(resetCode, 'password1234')).toBe('password_rejected');
    expect(await redeem(resetCode)).toBe('ok');
    const rows = await identity.database.query<{ text: string }>("SELECT encode(entry, 'escape') AS text FROM outbox");
    const everything = rows.map(({ text }) => text).join('') + identity.logged.join('');
    expect(everything).not.toContain(resetCode);
    expect((await eventsOf(identity.database, id)).map(({ type }) => type)).toContain(
      'identity.password.reset_issued.v1',
    );
  });
});

describe('housekeeping', () => {
  test('removes what is over and leaves what still decides something', async () => {
    const { id, email } = await create('tidy@example.org');
    const { session_id } = await login(email);
    await identity.ending.one({ accountId: id, sessionId: session_id, reason: 'logout' }, anonymous());
    await outcomeOf(login(email, 'surely-not-this-one'));
    expect(await identity.housekeeping.prune()).toMatchObject({ session: 0, revocation: 0, login_lane: 0 });
    clock.advance(38 * 86_400_000);
    const kept = await login(email);
    const removed = await identity.housekeeping.prune();
    expect(removed['session']).toBeGreaterThan(0);
    expect(removed['revocation']).toBeGreaterThan(0);
    expect(removed['login_lane']).toBeGreaterThan(0);
    expect(await refresh(kept.refresh_token)).toBe('ok');
  });
});
