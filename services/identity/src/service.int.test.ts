import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bootstrapAdministratorId } from '@prime-nest/contracts/ids';
import { identityNotify, identityRpc } from '@prime-nest/contracts/identity';
import { createBusClient } from '@prime-nest/kit/bus/client';
import { connectBus } from '@prime-nest/kit/bus/connection';
import { subscribeNotify } from '@prime-nest/kit/bus/notify';
import { silentLogger } from '@prime-nest/kit/log';
import { eventually } from '@prime-nest/testkit/eventually';
import { newKeyPair, testKeyPair } from '@prime-nest/testkit/keys';
import { startTestNats, type TestNats } from '@prime-nest/testkit/nats';
import { createTestDatabase, type TestDatabase } from '@prime-nest/testkit/postgres';
import pg from 'pg';
import { anonymous, keyEncryptionKey } from './testing/identity-fixture.js';

let nats: TestNats;
let store: TestDatabase;

beforeAll(async () => {
  if (!existsSync(program('main'))) throw new Error('build first: tsc -b services/identity');
  [nats, store] = await Promise.all([startTestNats(), createTestDatabase({ service: 'identity' })]);
});
afterAll(async () => {
  await Promise.all([nats.stop(), store.drop()]);
});

function program(name: string): string {
  return fileURLToPath(new URL(`../dist/${name}.js`, import.meta.url));
}

function environment(): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '',
    NODE_ENV: 'test',
    NATS_URL: nats.servers,
    NATS_NKEY_SEED: nats.seed('identity'),
    IDENTITY_DB_URL: store.url,
    IDENTITY_DB_MIGRATION_URL: store.ownerUrl,
    IDENTITY_KEY_ENCRYPTION_KEY: keyEncryptionKey,
    PRIVATE_KEY: testKeyPair().privateKey.replaceAll('\n', '\\n'),
    PUBLIC_KEY: testKeyPair().publicKey,
    HEALTH_HOST: '127.0.0.1',
    HEALTH_PORT: '0',
    ADMIN_EMAIL: 'Root@Example.org',
    ADMIN_PASSWORD: 'canary-first-password-8812',
  };
}

interface Run {
  readonly child: ChildProcess;
  output(): string;
  exit(): Promise<number | null>;
}

function run(name: string, env: Record<string, string | undefined>): Run {
  const child = spawn(process.execPath, [program(name)], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()));
  const closed = once(child, 'close');
  return { child, output: () => output, exit: async () => (await closed)[0] as number | null };
}

async function query<T>(connectionString: string, sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return (await client.query(sql)).rows as T[];
  } finally {
    await client.end();
  }
}

describe('the service as it is deployed', () => {
  test('migrate and seed may be run again and change nothing, and a deleted administrator stays deleted', async () => {
    for (const name of ['migrate', 'seed', 'migrate', 'seed']) {
      const task = run(name, environment());
      expect([await task.exit(), name === 'seed' ? '' : (task.output().match(/failed/)?.[0] ?? '')]).toEqual([0, '']);
    }
    const accounts = await query(store.ownerUrl, 'SELECT id, email, is_active FROM identity.account');
    expect(accounts).toEqual([{ id: bootstrapAdministratorId, email: 'root@example.org', is_active: true }]);
    expect(await query(store.ownerUrl, 'SELECT type FROM identity.outbox')).toEqual([
      { type: 'identity.account.created.v1' },
    ]);
  });

  test('a first password that breaks the rules is named as a mistake of the configuration', async () => {
    const other = await createTestDatabase({ service: 'identity' });
    const env = { ...environment(), IDENTITY_DB_URL: other.url, IDENTITY_DB_MIGRATION_URL: other.ownerUrl };
    expect(await run('migrate', env).exit()).toBe(0);
    const seed = run('seed', { ...env, ADMIN_PASSWORD: 'Password123' });
    expect(await seed.exit()).toBe(78);
    expect(seed.output()).toContain('ADMIN_PASSWORD must be at least 12 characters long');
    expect(seed.output()).toContain('ADMIN_PASSWORD is too common');
    expect(seed.output()).not.toContain('Password123');
    await other.drop();
  });

  test('it answers on the bus, beats, publishes its keys, is ready, and stops cleanly', async () => {
    const service = run('main', environment());
    const port = await eventually(() => /"port":(\d+)[^\n]*health.listening/.exec(service.output())?.[1] ?? false, {
      deadlineMs: 20_000,
    });
    const readiness = await fetch(`http://127.0.0.1:${port}/health/readiness`);
    expect([readiness.status, await readiness.json()]).toEqual([200, { status: 'ready', failing: [] }]);

    const log = silentLogger();
    const connection = await connectBus({ ...nats.credentials('gateway'), log });
    const bus = createBusClient({ connection, contracts: identityRpc, log });
    const heard: { sequence: number; revocations: unknown[] }[] = [];
    const subject = 'notify.identity.revocations.v1';
    await subscribeNotify({
      connection,
      subject,
      schema: identityNotify[subject],
      onNotify: (beat) => void heard.push(beat),
      log,
    });

    const credentials = { email: 'root@example.org', password: 'canary-first-password-8812' };
    const tokens = await bus.call('identity.session.login.v1', credentials, anonymous('203.0.113.5'));
    const renewed = await bus.call('identity.session.refresh.v1', { refreshToken: tokens.refresh_token }, anonymous());
    const { keys } = await bus.call('identity.key.list.v1', {}, anonymous());
    expect(keys).toHaveLength(1);
    await bus.call(
      'identity.session.revoke.v1',
      { accountId: bootstrapAdministratorId, sessionId: tokens.session_id, reason: 'logout' },
      anonymous(),
    );
    // The bus keeps the order of one sender: whoever has the answer has the revocation.
    expect(heard).toContainEqual({
      sequence: 1,
      revocations: [expect.objectContaining({ kind: 'session', sessionId: tokens.session_id })],
    });
    await eventually(() => heard.some(({ sequence, revocations }) => sequence === 1 && revocations.length === 0));

    await connection.close();
    service.child.kill('SIGTERM');
    expect(await service.exit()).toBe(0);
    const stored = await query<{ text: string }>(
      store.ownerUrl,
      "SELECT convert_from(entry, 'utf8') AS text FROM identity.outbox",
    );
    for (const secret of [
      credentials.password,
      tokens.refresh_token,
      renewed.refresh_token,
      tokens.access_token,
      keyEncryptionKey,
    ]) {
      expect(service.output()).not.toContain(secret);
      expect(stored.map(({ text }) => text).join('\n')).not.toContain(secret);
    }
  }, 60_000);

  test('with another key-encryption key it is not ready, says why, and signs nothing', async () => {
    const other = Buffer.alloc(32, 7).toString('base64');
    const service = run('main', { ...environment(), IDENTITY_KEY_ENCRYPTION_KEY: other });
    const port = await eventually(() => /"port":(\d+)[^\n]*health.listening/.exec(service.output())?.[1] ?? false, {
      deadlineMs: 20_000,
    });
    const readiness = await fetch(`http://127.0.0.1:${port}/health/readiness`);
    expect([readiness.status, await readiness.json()]).toEqual([503, { status: 'not_ready', failing: ['signingKey'] }]);
    expect(service.output()).toContain('cannot be decrypted');
    service.child.kill('SIGTERM');
    expect(await service.exit()).toBe(0);
  }, 60_000);

  test('production does not start without keys, TLS and bus credentials, and tells all of it at once without a value', async () => {
    const unset = { NATS_NKEY_SEED: '', PRIVATE_KEY: '', PUBLIC_KEY: '' };
    const service = run('main', {
      ...environment(),
      ...unset,
      NODE_ENV: 'production',
      DB_SSL: 'false',
      LOCKOUT_SECOND: '5',
    });
    expect(await service.exit()).toBe(78);
    for (const name of [
      'PRIVATE_KEY',
      'PUBLIC_KEY',
      'AUDIT_PUBLIC_KEY',
      'DB_SSL',
      'NATS_NKEY_SEED',
      'NATS_ALLOW_PLAINTEXT',
    ]) {
      expect(service.output()).toContain(name);
    }
    expect(service.output()).toContain('did you mean LOCKOUT_SECONDS');
    expect(service.output()).not.toContain(keyEncryptionKey);
  });

  test.each([
    [
      'keys that are no pair',
      () => ({ PUBLIC_KEY: newKeyPair().publicKey }),
      'PUBLIC_KEY does not belong to PRIVATE_KEY',
    ],
    ['a private key in place of the public one', () => ({ PUBLIC_KEY: testKeyPair().privateKey }), 'PUBLIC_KEY'],
    ['a key that is too short', () => newPair(1024), 'at least 2048 bits'],
    ['half a pair', () => ({ PUBLIC_KEY: '' }), 'set together'],
    ['a short key-encryption key', () => ({ IDENTITY_KEY_ENCRYPTION_KEY: 'c2hvcnQ=' }), 'IDENTITY_KEY_ENCRYPTION_KEY'],
  ])('%s stops the start', async (_name, env, message) => {
    const service = run('main', { ...environment(), ...env() });
    expect(await service.exit()).toBe(78);
    expect(service.output()).toContain(message);
  });
});

function newPair(bits: number): Record<string, string> {
  const { privateKey, publicKey } = newKeyPair(bits);
  return { PRIVATE_KEY: privateKey, PUBLIC_KEY: publicKey };
}
