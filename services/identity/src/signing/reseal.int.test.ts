import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { testKeyPair } from '@prime-nest/testkit/keys';
import { startTestNats, type TestNats } from '@prime-nest/testkit/nats';
import { createTestDatabase, type TestDatabase } from '@prime-nest/testkit/postgres';
import { migrations } from '../migrations/migrate.js';
import { anonymous, openFixture, outcomeOf } from '../testing/identity-fixture.js';
import { reseal } from './reseal.command.js';

let nats: TestNats;
let store: TestDatabase;
beforeAll(async () => {
  [nats, store] = await Promise.all([
    startTestNats({ streams: false }),
    createTestDatabase({ service: 'identity', migrations }),
  ]);
});
afterAll(async () => {
  await Promise.all([nats.stop(), store.drop()]);
});

const open = (env: Record<string, string>) =>
  openFixture({
    databaseUrl: store.url,
    nats: nats.credentials('identity'),
    keyPair: testKeyPair(),
    env,
  });

test('the key-encryption key is replaced without ending a session or losing a signing key', async () => {
  const [old, fresh] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')];
  const before = await open({ IDENTITY_KEY_ENCRYPTION_KEY: old });
  const account = await before.newAccount();
  const tokens = await Promise.all([1, 2, 3].map(() => before.login.run(account, anonymous())));
  const gone = await before.login.run(account, anonymous());
  await before.ending.one({ accountId: account.id, sessionId: gone.session_id, reason: 'logout' }, anonymous());
  await before.close();

  const during = await open({ IDENTITY_KEY_ENCRYPTION_KEY: fresh, IDENTITY_KEY_ENCRYPTION_KEY_PREVIOUS: old });
  await during.keys.check();
  const refresh = (service: typeof during, refreshToken: string | undefined) =>
    service.refresh.run({ refreshToken: refreshToken ?? '' }, anonymous());
  await refresh(during, tokens[0]?.refresh_token);
  expect(await reseal({ ...during, log: during.log })).toEqual({ sessions: 4, signingKeys: 1, unreadable: 0 });
  expect(await reseal({ ...during, log: during.log })).toEqual({ sessions: 0, signingKeys: 0, unreadable: 0 });
  await during.close();

  const after = await open({ IDENTITY_KEY_ENCRYPTION_KEY: fresh });
  await after.keys.check();
  await refresh(after, tokens[1]?.refresh_token);
  expect(await outcomeOf(refresh(after, gone.refresh_token))).toBe('invalid_grant');
  await after.close();

  // The control: without the key that the rows are sealed with, nothing is signed and nothing is refreshed.
  const wrong = await open({ IDENTITY_KEY_ENCRYPTION_KEY: old });
  await expect(wrong.keys.check()).rejects.toThrow('cannot be decrypted');
  expect(await outcomeOf(refresh(wrong, tokens[2]?.refresh_token))).not.toBe('ok');
  expect(await reseal({ ...wrong, log: wrong.log })).toMatchObject({ sessions: 0, signingKeys: 0, unreadable: 5 });
  await wrong.close();
});
