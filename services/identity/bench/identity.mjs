/**
 * What signing in, refreshing and verifying cost beside the work that nobody can leave out: the hash, the signature,
 * one durable transaction of one UPDATE of one row. All sides take turns on servers of their own, PostgreSQL with its
 * default durability (fsync on); ratios of medians count. `npm run bench:identity`; `--dry` leaves RESULTS.md alone.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Buffer } from 'node:buffer';
import { performance } from 'node:perf_hooks';
import { startPostgres } from '@prime-nest/devstack/postgres-server';
import { verifyAccessToken } from '@prime-nest/gateway/access/access-token';
import { ClaimsCache } from '@prime-nest/gateway/access/claims-cache';
import { KeySet } from '@prime-nest/gateway/access/key-set';
import { connectBus } from '@prime-nest/kit/bus/connection';
import { systemClock } from '@prime-nest/kit/clock';
import { freshContext } from '@prime-nest/kit/context';
import { openDatabase } from '@prime-nest/kit/database';
import { newId } from '@prime-nest/kit/ids';
import { silentLogger } from '@prime-nest/kit/log';
import { newKeyPair } from '@prime-nest/testkit/keys';
import { startTestNats } from '@prime-nest/testkit/nats';
import { createTestDatabase } from '@prime-nest/testkit/postgres';
import { startTestRun } from '@prime-nest/testkit/test-run';
import pg from 'pg';
import { conditions, writeSection } from '../../../bench/results.mjs';
import { readIdentityConfig } from '../dist/config.js';
import { hashParameters } from '../dist/account/password-hash.js';
import { buildIdentity } from '../dist/identity.module.js';
import { migrations } from '../dist/migrations/migrate.js';
import { signAccessToken } from '../dist/signing/access-token.js';
import { ensureSigningKey } from '../dist/signing/ensure-key.command.js';
import { median } from '../../../scripts/statistics.mjs';

const rounds = Number(process.env.BENCH_ROUNDS ?? 7);
const sliceMs = Number(process.env.BENCH_SLICE_MS ?? 1500);
const only = process.env.BENCH_ONLY?.split(',');
const clients = 8;
const password = 'orchid-lantern-42';

const folder = await mkdtemp(path.join(os.tmpdir(), 'prime-nest-bench-'));
const postgres = await startPostgres({ dataDir: path.join(folder, 'postgres'), port: 0, fast: false });
process.env.TESTKIT_POSTGRES_URL = postgres.url;
const run = await startTestRun(() => undefined);
Object.assign(process.env, run.env);
const nats = await startTestNats({ streams: false });
const log = silentLogger();
const context = { ...freshContext({ type: 'anonymous' }), ip: '192.0.2.1', userAgent: 'bench/1' };
// The size that is generated unless configured otherwise, and the other one that may be.
const worlds = { 3072: await openWorld(3072), 2048: await openWorld(2048) };

/** A database of its own, an identity on it that signs with a key of that size, accounts and a session of each. */
async function openWorld(bits) {
  const store = await createTestDatabase({ service: 'identity', migrations });
  const keyPair = newKeyPair(bits);
  const config = readIdentityConfig({
    NODE_ENV: 'test',
    IDENTITY_DB_URL: store.url,
    NATS_URL: nats.servers,
    IDENTITY_KEY_ENCRYPTION_KEY: Buffer.alloc(32, 5).toString('base64'),
    PRIVATE_KEY: keyPair.privateKey,
    PUBLIC_KEY: keyPair.publicKey,
  });
  const connection = await connectBus({ ...nats.credentials('identity'), log });
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
  await ensureSigningKey(identity.keyParts, keyPair.privateKey, context);
  await identity.keepKeys.reload();
  const accounts = await Promise.all(
    Array.from({ length: clients }, () => {
      const id = newId();
      return identity.creation.run({ id, email: `${id}@example.org`, name: 'Bench', password }, context);
    }),
  );
  const chains = await Promise.all(accounts.map(({ email }) => identity.login.run({ email, password }, context)));
  const close = async () => {
    await identity.hasher.close();
    await connection.drain();
    await database.close();
    await store.drop();
  };
  return { store, config, database, identity, accounts, chains, close };
}

const bareUpdate = 'UPDATE session SET generation = generation WHERE id = $1 RETURNING id';
const { store, config, database, identity, accounts, chains } = worlds[3072];
const rawPool = new pg.Pool({ connectionString: store.url, max: clients, options: '-c search_path=identity' });
const now = () => Math.floor(Date.now() / 1000);
const claimsOf = (i) => ({
  iss: config.TOKEN_ISSUER,
  aud: config.TOKEN_AUDIENCE,
  sub: accounts[i].id,
  sid: chains[i].session_id,
  jti: newId(),
  iat: now(),
  exp: now() + 900,
  ver: 1,
});
const sign = (i, bits = 3072) => signAccessToken(claimsOf(i), worlds[bits].identity.keys.signer());
const update = (i) => database.transaction((tx) => tx.query(bareUpdate, [chains[i].session_id]));
const signIn = (world) => (i) => world.identity.login.run({ email: world.accounts[i].email, password }, context);
const refresh = (world) => async (i) => {
  world.chains[i] = await world.identity.refresh.run({ refreshToken: world.chains[i].refresh_token }, context);
};

const sides = {
  'sign-in': signIn(worlds[3072]),
  'sign-in, RSA 2048': signIn(worlds[2048]),
  hash: (i) => identity.hasher.verify(password, accounts[i].passwordHash),
  'hash, update, then sign': async (i) => {
    await sides.hash(i);
    await update(i);
    await sign(i);
  },
  refresh: refresh(worlds[3072]),
  'refresh, RSA 2048': refresh(worlds[2048]),
  update,
  'update, then sign': async (i) => {
    await update(i);
    await sign(i);
  },
  'update, then sign, RSA 2048': async (i) => {
    await update(i);
    await sign(i, 2048);
  },
  'update, bare driver': async (i) => {
    const client = await rawPool.connect();
    try {
      await client.query('BEGIN');
      await client.query(bareUpdate, [chains[i].session_id]);
      await client.query('COMMIT');
    } finally {
      client.release();
    }
  },
  sign: (i) => sign(i),
  'sign, RSA 2048': (i) => sign(i, 2048),
};

/** Statements that the sides send, counted where they leave the process. */
let statements = 0;
const send = pg.Client.prototype.query;
pg.Client.prototype.query = function (...args) {
  statements += 1;
  return send.apply(this, args);
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
  const sent = statements;
  const cpu = process.cpuUsage();
  await Promise.all(accounts.map((_, i) => client(i)));
  const { user: used, system } = process.cpuUsage(cpu);
  const took = performance.now() - start;
  return {
    rate: (count * 1000) / took,
    statements: (statements - sent) / count,
    cpuMs: (used + system) / 1000 / count,
  };
}

const names = Object.keys(sides).filter((side) => only === undefined || only.includes(side));
const seen = Object.fromEntries(names.map((side) => [side, []]));
for (const side of names) await rate(side);
for (let round = 0; round < rounds; round++) {
  // No side always follows the same one.
  for (const side of names.toSorted(() => Math.random() - 0.5)) seen[side].push(await rate(side));
  // Below the number of sessions at which a sign-in would end another one.
  for (const world of Object.values(worlds)) {
    const kept = world.chains.map(({ session_id: id }) => id);
    await world.database.query('DELETE FROM session WHERE NOT (id = ANY($1))', [kept]);
  }
}
const medianOf = (side, field = 'rate') => median((seen[side] ?? []).map((one) => one[field]));
const perSecond = (side) => medianOf(side).toFixed(0);
const ratio = (one, other) => (medianOf(one) / medianOf(other)).toFixed(2);

const verify = { 3072: await verifyTimes(3072), 2048: await verifyTimes(2048) };
const row = (side) =>
  `| ${side} | ${perSecond(side)} | ${medianOf(side, 'statements').toFixed(1)} | ${medianOf(side, 'cpuMs').toFixed(2)} |`;
const markdown = `## Identity

${conditions('npm run bench:identity')}

${clients} callers at once in the process of identity, ${rounds} rounds of ${sliceMs / 1000} s a side, medians. PostgreSQL on the same
machine with fsync, synchronous_commit and full_page_writes on. argon2id m=${hashParameters.memoryCost} KiB, t=${hashParameters.timeCost}, p=${hashParameters.parallelism};
RSA 3072 unless a side says otherwise; strict rotation; every sign-in and refresh also writes its event.

| side | per second | statements | CPU of the process, ms |
| --- | ---: | ---: | ---: |
${names.map(row).join('\n')}

- sign-in / hash alone: **${ratio('sign-in', 'hash')}**; with RSA 2048 ${ratio('sign-in, RSA 2048', 'hash')}
- hash, one-row UPDATE in a transaction of its own and the signature of one access token, nothing else / hash alone: ${ratio('hash, update, then sign', 'hash')}; sign-in / these three: **${ratio('sign-in', 'hash, update, then sign')}**
- refresh / one-row UPDATE in a transaction of its own: **${ratio('refresh', 'update')}**; with RSA 2048 ${ratio('refresh, RSA 2048', 'update')}
- that UPDATE and then nothing but the signature of one access token / the UPDATE: ${ratio('update, then sign', 'update')}; with RSA 2048 ${ratio('update, then sign, RSA 2048', 'update')}
- refresh / UPDATE and signature: **${ratio('refresh', 'update, then sign')}**; with RSA 2048 ${ratio('refresh, RSA 2048', 'update, then sign, RSA 2048')}
- verifying an access token at the gateway, p50: ${verify[3072].uncached} µs by its signature (RSA 2048: ${verify[2048].uncached} µs), ${verify[3072].cached} µs from memory
`;
process.stdout.write(markdown);
if (!process.argv.includes('--dry')) writeSection('identity', markdown);

await rawPool.end();
for (const world of Object.values(worlds)) await world.close();
await nats.stop();
await run.stop();
await postgres.stop();
await rm(folder, { recursive: true, force: true });

/** Medians in microseconds of the gateway's own verifier and of its memory of an earlier check. */
async function verifyTimes(bits) {
  const keys = new KeySet();
  keys.replace(worlds[bits].identity.keys.published());
  const policy = {
    issuer: config.TOKEN_ISSUER,
    audience: config.TOKEN_AUDIENCE,
    skewSeconds: 30,
    lifetimeSecondsMax: 900,
  };
  const tokens = await Promise.all(Array.from({ length: 200 }, (_, i) => sign(i % clients, bits)));
  const cache = new ClaimsCache();
  const times = { uncached: [], cached: [] };
  const timed = (list, work) => {
    const start = performance.now();
    if (work() === undefined) throw new Error('a good token was refused');
    list.push((performance.now() - start) * 1000);
  };
  for (let round = 0; round < 20; round++) {
    for (const token of tokens) {
      const at = new Date();
      timed(times.uncached, () => verifyAccessToken(token, keys, at, policy).claims);
      cache.put(token, verifyAccessToken(token, keys, at, policy).claims, at.getTime(), keys.generation);
      timed(times.cached, () => cache.get(token, at.getTime(), keys.generation));
    }
  }
  return { uncached: median(times.uncached).toFixed(0), cached: median(times.cached).toFixed(1) };
}
