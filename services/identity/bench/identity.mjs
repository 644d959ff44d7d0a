/**
 * `node services/identity/bench/identity.mjs` (after a build): sign-ins per second against the hash alone at the same
 * parameters, and refreshes per second against a bare transaction of one UPDATE of one row. Both sides run in turns on
 * servers of their own; the ratio counts, the absolute figures are this machine's.
 */
import { Buffer } from 'node:buffer';
import { performance } from 'node:perf_hooks';
import { connectBus } from '@prime-nest/kit/bus/connection';
import { systemClock } from '@prime-nest/kit/clock';
import { freshContext } from '@prime-nest/kit/context';
import { openDatabase } from '@prime-nest/kit/database';
import { newId } from '@prime-nest/kit/ids';
import { silentLogger } from '@prime-nest/kit/log';
import { Secret } from '@prime-nest/kit/secret';
import { testKeyPair } from '@prime-nest/testkit/keys';
import { startTestNats } from '@prime-nest/testkit/nats';
import { createTestDatabase } from '@prime-nest/testkit/postgres';
import { startTestRun } from '@prime-nest/testkit/test-run';
import { readIdentityConfig } from '../dist/config.js';
import { buildIdentity } from '../dist/identity.module.js';
import { migrations } from '../dist/migrations/migrate.js';
import { ensureSigningKey } from '../dist/signing/ensure-key.command.js';

const rounds = Number(process.env.BENCH_ROUNDS ?? 5);
const sliceMs = Number(process.env.BENCH_SLICE_MS ?? 2000);

const run = await startTestRun(() => undefined);
Object.assign(process.env, run.env);
const [nats, store] = await Promise.all([
  startTestNats({ streams: false }),
  createTestDatabase({ service: 'identity', migrations }),
]);
const log = silentLogger();
const { user, password } = nats.credentials('identity');
const config = readIdentityConfig({
  NODE_ENV: 'test',
  IDENTITY_DB_URL: store.url,
  NATS_URL: nats.servers,
  IDENTITY_KEY_ENCRYPTION_KEY: Buffer.alloc(32, 5).toString('base64'),
  PRIVATE_KEY: testKeyPair().privateKey,
  PUBLIC_KEY: testKeyPair().publicKey,
  IDENTITY_SESSIONS_PER_ACCOUNT_MAX: '10000',
});
const connection = await connectBus({
  servers: nats.servers,
  user,
  password: new Secret(password),
  name: 'identity',
  log,
});
const database = await openDatabase({
  url: config.IDENTITY_DB_URL,
  schema: 'identity',
  entities: [],
  ssl: false,
  poolMax: config.DB_POOL_MAX,
  log,
  applicationName: 'identity-bench',
});
const identity = await buildIdentity({ config, database, connection, clock: systemClock, log });
const context = freshContext({ type: 'anonymous' });
await ensureSigningKey(identity.keyParts, testKeyPair().privateKey, context);
await identity.keepKeys.reload();

const clients = 8;
const accounts = await Promise.all(
  Array.from({ length: clients }, () => {
    const id = newId();
    return identity.creation.run(
      { id, email: `${id}@example.org`, name: 'Bench', password: 'orchid-lantern-42' },
      context,
    );
  }),
);
const chains = await Promise.all(
  accounts.map(({ email }) => identity.login.run({ email, password: 'orchid-lantern-42' }, context)),
);

const sides = {
  'sign-in': (i) => identity.login.run({ email: accounts[i].email, password: 'orchid-lantern-42' }, context),
  'hash alone': (i) => identity.hasher.verify('orchid-lantern-42', accounts[i].passwordHash),
  refresh: async (i) => {
    chains[i] = await identity.refresh.run({ refreshToken: chains[i].refresh_token }, context);
  },
  'bare update': (i) =>
    database.transaction((tx) =>
      tx.query('UPDATE session SET generation = generation WHERE id = $1 RETURNING id', [chains[i].session_id]),
    ),
};

/** Calls per second of `clients` callers at once. */
async function rate(side) {
  const end = performance.now() + sliceMs;
  let count = 0;
  const client = async (i) => {
    while (performance.now() < end) {
      await sides[side](i);
      count += 1;
    }
  };
  const start = performance.now();
  await Promise.all(accounts.map((_, i) => client(i)));
  return (count * 1000) / (performance.now() - start);
}

const rates = Object.fromEntries(Object.keys(sides).map((side) => [side, []]));
for (let round = 0; round < rounds; round++) for (const side of Object.keys(sides)) rates[side].push(await rate(side));
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
for (const [side, values] of Object.entries(rates)) console.log(`${side}: ${median(values).toFixed(1)}/s`);
console.log(`sign-in / hash alone: ${(median(rates['sign-in']) / median(rates['hash alone'])).toFixed(2)}`);
console.log(`refresh / bare update: ${(median(rates.refresh) / median(rates['bare update'])).toFixed(2)}`);

await identity.hasher.close();
await connection.drain();
await database.close();
await store.drop();
await nats.stop();
await run.stop();
