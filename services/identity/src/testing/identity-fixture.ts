import { generateKeyPair, randomBytes, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import type { NatsConnection } from '@nats-io/transport-node';
import type { CallContext } from '@prime-nest/contracts/context';
import { connectBus } from '@prime-nest/kit/bus/connection';
import type { BusOptions } from '@prime-nest/kit/bus/connection';
import { systemClock, type Clock } from '@prime-nest/kit/clock';
import { freshContext } from '@prime-nest/kit/context';
import { openDatabase, type Database } from '@prime-nest/kit/database';
import { newId } from '@prime-nest/kit/ids';
import { createLogger, silentLogger, type Logger } from '@prime-nest/kit/log';
import type { AccountRow } from '../account/account.store.js';
import { createPasswordHasher, type PasswordHasher } from '../account/password-hasher.worker.js';
import { readIdentityConfig, type IdentityConfig } from '../config.js';
import { buildIdentity, type Identity } from '../identity.module.js';
import { ensureSigningKey } from '../signing/ensure-key.command.js';

/** For tests only; not part of the build. */
export interface FixtureOptions {
  readonly databaseUrl: string;
  readonly nats: Omit<BusOptions, 'log'>;
  readonly keyPair: { readonly privateKey: string; readonly publicKey: string };
  readonly env?: Readonly<Record<string, string>>;
  readonly clock?: Clock;
}

export interface Fixture extends Identity {
  readonly config: IdentityConfig;
  readonly database: Database;
  readonly connection: NatsConnection;
  readonly log: Logger;
  /** Lines that the service logged. */
  readonly logged: string[];
  /** Hashes computed by `hasher` so far, comparisons included. */
  hashCount(): number;
  newAccount(password?: string): Promise<AccountRow & { password: string }>;
  close(): Promise<void>;
}

export const goodPassword = 'orchid-lantern-42-quay';
export const keyEncryptionKey = randomBytes(32).toString('base64');

export function anonymous(ip?: string): CallContext {
  return { ...freshContext({ type: 'anonymous' }), ...(ip === undefined ? {} : { ip }), userAgent: 'test/1' };
}

export async function openFixture({
  databaseUrl,
  nats,
  keyPair,
  env = {},
  clock = systemClock,
}: FixtureOptions): Promise<Fixture> {
  const config = readIdentityConfig({
    NODE_ENV: 'test',
    IDENTITY_DB_URL: databaseUrl,
    NATS_URL: nats.servers,
    IDENTITY_KEY_ENCRYPTION_KEY: keyEncryptionKey,
    PRIVATE_KEY: keyPair.privateKey,
    PUBLIC_KEY: keyPair.publicKey,
    IDENTITY_HASH_THREADS: '2',
    ...env,
  });
  const logged: string[] = [];
  const log = createLogger({
    service: 'identity',
    level: 'trace',
    destination: { write: (line) => void logged.push(line) },
  });
  const database = await openDatabase({
    url: config.IDENTITY_DB_URL,
    schema: 'identity',
    entities: [],
    ssl: false,
    poolMax: config.DB_POOL_MAX,
    log: silentLogger(),
    applicationName: 'identity-test',
  });
  const connection = await connectBus({ ...nats, log });
  const { hasher, count } = countingHasher(config);
  const identity = await buildIdentity({ config, database, connection, clock, log, hasher, generateKey: smallKey });
  await ensureSigningKey(identity.keyParts, keyPair.privateKey, freshContext({ type: 'service', id: 'identity' }));
  await identity.keepKeys.reload();
  return {
    ...identity,
    config,
    database,
    connection,
    log,
    logged,
    hashCount: count,
    newAccount: async (accountPassword = goodPassword) => {
      const id = newId();
      const request = { id, email: `${id}@example.org`, name: 'Somebody', password: accountPassword };
      return { ...(await identity.creation.run(request, anonymous())), password: accountPassword };
    },
    close: async () => {
      await identity.keepKeys.stop();
      await identity.feed.stop();
      await hasher.close();
      await connection.drain();
      await database.close();
    },
  };
}

/** The smallest that is accepted: tests need many. */
async function smallKey(): Promise<KeyObject> {
  return (await promisify(generateKeyPair)('rsa', { modulusLength: 2048 })).privateKey;
}

function countingHasher(config: IdentityConfig): { hasher: PasswordHasher; count: () => number } {
  const inner = createPasswordHasher({
    threads: config.IDENTITY_HASH_THREADS ?? 2,
    queueMax: config.IDENTITY_HASH_QUEUE_MAX,
  });
  let calls = 0;
  return {
    hasher: {
      ...inner,
      hash: (password) => {
        calls += 1;
        return inner.hash(password);
      },
      verify: (password, hash) => {
        calls += 1;
        return inner.verify(password, hash);
      },
    },
    count: () => calls,
  };
}

/** The code that a call failed with, or `ok`. */
export async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'ok';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
}

export interface StoredEvent {
  readonly type: string;
  readonly reasonCode?: string;
  readonly resource: { readonly id?: string };
  readonly actor: unknown;
  readonly change?: { readonly before?: unknown; readonly after?: unknown };
}

/** Events in the outbox about a resource, oldest first. */
export async function eventsOf(database: Database, resourceId: string): Promise<StoredEvent[]> {
  const rows = await database.query<{ entry: Buffer }>('SELECT entry FROM outbox ORDER BY id');
  return rows
    .map(({ entry }) => JSON.parse(entry.toString()) as StoredEvent)
    .filter(({ resource }) => resource.id === resourceId);
}
