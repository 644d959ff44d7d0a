/**
 * The way of an event from the commit of its mutation to the signed log, on a PostgreSQL that syncs every commit: how
 * many per second, how long each takes, what the outbox adds to a mutation, and how fast a log is verified. A plain
 * batched INSERT of the same rows in the same run is what to compare with. Ratios travel, absolute figures do not.
 *
 *     npm run bench:audit [-- --events 20000]
 */
import { spawn, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { jetstream } from '@nats-io/jetstream';
import { conditions, writeSection } from '../../../bench/results.mjs';
import { buildIfNeeded } from '../../../scripts/build-if-needed.mjs';
import { numberOption } from '../../../scripts/arguments.mjs';

buildIfNeeded(['services/audit', 'libs/testkit']);
const { auditMigrations } = await import('@prime-nest/audit/migrations/list');
const { entryBytes } = await import('@prime-nest/audit/log/entry');
const { indexColumns } = await import('@prime-nest/audit/log/columns');
const { LogStore } = await import('@prime-nest/audit/log/log.store');
const { Pull } = await import('@prime-nest/audit/pull.consumer');
const { auditConsumer } = await import('@prime-nest/contracts/bus');
const { eventBatchMax, eventBatchSubject, eventStream } = await import('@prime-nest/contracts/events');
const { freePort } = await import('@prime-nest/devstack/ports');
const { startPostgres } = await import('@prime-nest/devstack/postgres-server');
const { connectBus } = await import('@prime-nest/kit/bus/connection');
const { systemClock } = await import('@prime-nest/kit/clock');
const { freshContext } = await import('@prime-nest/kit/context');
const { openDatabase } = await import('@prime-nest/kit/database');
const { newId } = await import('@prime-nest/kit/ids');
const { silentLogger } = await import('@prime-nest/kit/log');
const { createOutbox } = await import('@prime-nest/kit/outbox/outbox');
const { createOutboxTables } = await import('@prime-nest/kit/outbox/outbox-migration');
const { addOutboxReceipts } = await import('@prime-nest/kit/outbox/receipt-migration');
const { startRelay } = await import('@prime-nest/kit/outbox/relay');
const { createBusClient } = await import('@prime-nest/kit/bus/client');
const { auditRpc } = await import('@prime-nest/contracts/audit');
const { Secret } = await import('@prime-nest/kit/secret');
const { startTestNats } = await import('@prime-nest/testkit/nats');
const { createTestDatabase } = await import('@prime-nest/testkit/postgres');
const { startTestRun } = await import('@prime-nest/testkit/test-run');

const events = numberOption('events', 20_000);
const verified = numberOption('verified', 70_000);
const log = silentLogger();
const update = {
  name: 'bench.update',
  text: 'UPDATE thing SET version = version + 1, changed_at = now() WHERE id = $1 RETURNING id',
};
/** The row that an event adds, made beforehand: what the outbox costs at least. */
const readyRow = {
  name: 'bench.ready_row',
  text: 'INSERT INTO outbox (event_id, type, entry, correlation_id, traceparent) VALUES ($1, $2, $3, $4, $5)',
};
const share = (sorted, part) => sorted[Math.floor((sorted.length - 1) * part)] ?? 0;
const say = (text) => process.stdout.write(`${text}\n`);

class OutboxTables1700000000000 {
  async up(runner) {
    await runner.query(createOutboxTables('rbac') + addOutboxReceipts('rbac'));
    await runner.query(`CREATE TABLE thing (id uuid PRIMARY KEY, name text NOT NULL UNIQUE, version int NOT NULL, changed_at timestamptz);
      CREATE INDEX ON thing (changed_at); GRANT SELECT, INSERT, UPDATE ON thing TO rbac`);
  }
  async down() {}
}

const folder = mkdtempSync(path.join(os.tmpdir(), 'prime-nest-bench-'));
await chmod(folder, 0o711);
const env = { ...process.env, DATABASE_URL: undefined };
const postgres = await startPostgres({
  dataDir: path.join(folder, 'postgres'),
  port: 0,
  fast: false,
  env,
  announce: say,
});
process.env.TESTKIT_POSTGRES_URL = postgres.url;
const run = await startTestRun(say);
Object.assign(process.env, run.env);
const nats = await startTestNats();
const logServer = await createTestDatabase({ service: 'audit', migrations: auditMigrations });
const sourceServer = await createTestDatabase({ service: 'rbac', migrations: [OutboxTables1700000000000] });
const open = (url, schema, poolMax) =>
  openDatabase({ url: new Secret(url), schema, entities: [], ssl: false, poolMax, log, applicationName: 'bench' });
const logDatabase = await open(logServer.superuserUrl, 'audit', 4);
const source = await open(sourceServer.url, 'rbac', 12);
const bus = await connectBus({ ...nats.credentials('rbac'), log });
const outbox = createOutbox({ service: 'rbac', clock: systemClock });
const healthPort = await freePort();
const [sample] = sampleEntries(1);
const size = async () => Number((await logDatabase.query('SELECT tree_size FROM audit.log_state'))[0].tree_size);
const taken = async () =>
  Number(
    (await logDatabase.query("SELECT COALESCE(sum(last_seq), 0) AS n FROM audit.source_state WHERE source = 'rbac'"))[0]
      .n,
  );
let service;
// Whatever ends this process ends the service, too.
process.on('exit', () => service?.kill('SIGKILL'));
try {
  service = startService();
  await measure();
} finally {
  const ended = new Promise((resolve) => service?.once('exit', resolve));
  service?.kill('SIGTERM');
  await Promise.race([ended, pause(15_000)]);
  await bus.close();
  await Promise.all([source.close(), logDatabase.close()]);
  await nats.stop();
  await run.stop();
  await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
}
process.exit();

function startService() {
  const file = fileURLToPath(new URL('../dist/main.js', import.meta.url));
  return spawn(process.execPath, [...(process.env.BENCH_NODE_ARGS?.split(' ') ?? []), file], {
    env: {
      PATH: process.env.PATH,
      NODE_ENV: 'test',
      LOG_LEVEL: 'info',
      HEALTH_HOST: '127.0.0.1',
      HEALTH_PORT: String(healthPort),
      NATS_URL: nats.servers,
      NATS_NKEY_SEED: nats.seed('audit'),
      AUDIT_DB_URL: logServer.url,
      AUDIT_SIGNING_KEY: generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

async function measure() {
  while (
    !(await fetch(`http://127.0.0.1:${healthPort}/health/readiness`).then(
      ({ ok }) => ok,
      () => false,
    ))
  )
    await pause(100);
  const cost = await outboxCost();
  say(JSON.stringify(cost));
  const plain = await plainInsert();
  const carried = await carriedInsert();
  const drained = await drain();
  say(`plain ${plain.toFixed(0)}/s, carried ${carried.toFixed(0)}/s, drained ${drained.toFixed(0)}/s`);
  const timely = await latency(200, 8);
  const checks = await verification();
  const rows = [
    ['plain batched INSERT of the same rows, one commit per 500', `${plain.toFixed(0)} rows/s`, '1.00'],
    [
      'the same bytes published, taken and inserted by one process, nothing read out of them',
      `${carried.toFixed(0)} rows/s`,
      (carried / plain).toFixed(2),
    ],
    [
      `mutation commit → sequenced, ${events} events waiting`,
      `${drained.toFixed(0)} events/s`,
      (drained / plain).toFixed(2),
    ],
  ];
  const times = [
    ['commit → sequenced', timely.sequenced],
    ['commit → signed checkpoint', timely.signed],
  ];
  const lines = [
    conditions('npm run bench:audit'),
    '',
    'PostgreSQL with fsync and synchronous commit; source, relay, NATS, audit service (log level info) and PostgreSQL on this machine.',
    '',
    '| rate | figure | of the plain INSERT |',
    '| --- | --- | --- |',
    ...rows.map((row) => `| ${row.join(' | ')} |`),
    '',
    `Steady ${timely.rate.toFixed(0)} mutations/s:`,
    '',
    '| latency | p50, ms | p99, ms |',
    '| --- | --- | --- |',
    ...times.map(
      ([name, sorted]) => `| ${name} | ${share(sorted, 0.5).toFixed(0)} | ${share(sorted, 0.99).toFixed(0)} |`,
    ),
    '',
    '| mutation (INSERT with two indexes and UPDATE, one transaction) | without outbox, per s | with a ready row, per s | cost | `append`, per s | cost | `appendWith` the UPDATE, per s | cost |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...cost.map(({ inFlight, none, ...others }) => {
      const cells = Object.values(others).flatMap((rate) => [
        rate.toFixed(0),
        `${((1 - rate / none) * 100).toFixed(0)} %`,
      ]);
      return `| ${[`${inFlight} in flight`, none.toFixed(0), ...cells].join(' | ')} |`;
    }),
    '',
    'The ready row has the bytes of an event and is sent like one: what an outbox costs without making the event.',
    '',
    `| verification, ${verified} entries | seconds | entries/s |`,
    '| --- | --- | --- |',
    ...checks.map(
      ({ name, ms }) => `| ${name} | ${(ms / 1_000).toFixed(2)} | ${((verified / ms) * 1_000).toFixed(0)} |`,
    ),
  ];
  say(lines.join('\n'));
  writeSection('audit', lines.join('\n'));
}

function draft() {
  const resourceId = newId();
  return { type: 'rbac.role.updated.v1', resourceId, change: { before: { name: 'a' }, after: { name: resourceId } } };
}

function mutate(recording) {
  const [id, context] = [newId(), freshContext({ type: 'user', id: newId() })];
  return source.transaction(async (tx) => {
    await tx.query('INSERT INTO thing (id, name, version) VALUES ($1, $2, 1)', [id, id]);
    if (recording === 'appendWith')
      return outbox.appendWith(tx, { mutation: update, params: [id], draft: draft() }, context);
    await tx.query(update, [id]);
    if (recording === 'readyRow') tx.send(readyRow, [id, sample.event.type, sample.bytes, id, id]);
    if (recording === 'append') await outbox.append(tx, draft(), context);
  });
}

async function rate(inFlight, recording, ms) {
  let count = 0;
  const until = performance.now() + ms;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      for (; performance.now() < until; count++) await mutate(recording);
    }),
  );
  return (count / ms) * 1_000;
}

/** Alternating, so that a busy second of the machine hits both. */
async function outboxCost() {
  const results = [];
  for (const inFlight of [1, 8]) {
    await rate(inFlight, 'append', 500);
    const sums = { none: 0, readyRow: 0, append: 0, appendWith: 0 };
    for (let round = 0; round < 12; round++)
      for (const recording of Object.keys(sums)) sums[recording] += (await rate(inFlight, recording, 250)) / 12;
    results.push({ inFlight, ...sums });
  }
  return results;
}

function sampleEntries(count) {
  return Array.from({ length: count }, (_, index) => {
    const [id, trace] = [newId(), newId().replaceAll('-', '')];
    const event = {
      schema: 'event.v1',
      id,
      source: 'rbac',
      type: 'rbac.role.updated.v1',
      occurredAt: new Date().toISOString(),
      actor: { type: 'user', id: newId() },
      action: 'role.update',
      resource: { type: 'role', id: newId() },
      outcome: 'success',
      change: { before: { name: 'a' }, after: { name: id } },
      correlationId: id,
      traceId: trace,
      spanId: trace.slice(16),
    };
    return {
      index,
      receivedAt: new Date(),
      event,
      place: { epoch: 'e', sequence: index + 1 },
      leafHash: Buffer.alloc(32),
      bytes: entryBytes(event),
    };
  });
}

/** The same rows, columns and indexes in a table of no meaning, with the same statement. */
async function intoPlainTable(fill) {
  await logDatabase.query('CREATE SCHEMA bench');
  await logDatabase.query('CREATE TABLE bench.event (LIKE audit.event INCLUDING ALL)');
  await logDatabase.query('CREATE UNIQUE INDEX ON bench.event (event_id)');
  const entries = sampleEntries(events);
  indexColumns(entries[0].event);
  const store = new LogStore();
  const insert = (rows) =>
    logDatabase.transaction(async (tx) => {
      await tx.query('SET LOCAL search_path = bench');
      await store.insertEntries(tx, rows);
    });
  const perSecond = await fill(entries, insert);
  await logDatabase.query('DROP SCHEMA bench CASCADE');
  return perSecond;
}

function plainInsert() {
  return intoPlainTable(async (entries, insert) => {
    const startedAt = performance.now();
    for (let from = 0; from < entries.length; from += 500) await insert(entries.slice(from, from + 500));
    return (events / (performance.now() - startedAt)) * 1_000;
  });
}

/** As many messages of the same bytes over a JetStream of their own, and as many rows; the rows are made beforehand. */
async function carriedInsert() {
  const server = await startTestNats();
  const [sender, taker] = await Promise.all(
    ['rbac', 'audit'].map((user) => connectBus({ ...server.credentials(user), log })),
  );
  const [stream, consumer] = [eventStream, auditConsumer];
  const pull = new Pull({ connection: taker, stream, consumer, batchMax: 16, read: (message) => [message] });
  const perSecond = await intoPlainTable(async (entries, insert) => {
    const bodies = Array.from({ length: Math.ceil(events / eventBatchMax) }, (_, i) =>
      Buffer.concat(entries.slice(i * eventBatchMax, (i + 1) * eventBatchMax).map(({ bytes }) => bytes)),
    );
    const startedAt = performance.now();
    const published = (async () => {
      for (let from = 0; from < bodies.length; from += 8)
        await Promise.all(
          bodies.slice(from, from + 8).map((body) => jetstream(sender).publish(eventBatchSubject('rbac'), body)),
        );
    })();
    for (let taken = 0; taken < bodies.length;) {
      const messages = await pull.next(1_000);
      if (messages.length === 0) continue;
      await insert(entries.slice(taken * eventBatchMax, (taken + messages.length) * eventBatchMax));
      for (const message of messages) message.ack();
      taken += messages.length;
    }
    await published;
    return (events / (performance.now() - startedAt)) * 1_000;
  });
  await pull.close();
  await Promise.all([sender.close(), taker.close()]);
  await server.stop();
  return perSecond;
}

function relay() {
  const calls = createBusClient({ connection: bus, contracts: auditRpc, log });
  const ask = (place) => calls.call('audit.receipt.get.v1', place, freshContext({ type: 'service', id: 'rbac' }));
  const started = startRelay({ database: source, connection: bus, source: 'rbac', log, receipts: { ask } });
  outbox.onCommitted(() => started.wake());
  return started;
}

/** Everything is committed before the relay starts: how fast the whole way is when it is never idle. */
async function drain() {
  const [{ n }] = await source.query('SELECT count(*) AS n FROM outbox');
  const context = freshContext({ type: 'user', id: newId() });
  for (let left = events - Number(n); left > 0; left -= 100)
    await source.transaction(async (tx) => {
      for (let i = 0; i < Math.min(100, left); i++) await outbox.append(tx, draft(), context);
    });
  const [{ all }] = await source.query('SELECT count(*) AS all FROM outbox');
  const started = relay();
  const startedAt = performance.now();
  while ((await taken()) < Number(all)) await pause(20);
  const perSecond = (Number(all) / (performance.now() - startedAt)) * 1_000;
  await started.stop();
  return perSecond;
}

async function latency(perSecond, seconds) {
  const started = relay();
  const commits = [];
  const seen = { sequenced: [], signed: [] };
  let isOver = false;
  const watch = (async () => {
    while (!isOver) {
      const [row] = await logDatabase.query(
        'SELECT tree_size, (SELECT max(tree_size) FROM audit.checkpoint) AS signed FROM audit.log_state',
      );
      const at = performance.now();
      seen.sequenced.push([Number(row.tree_size), at]);
      seen.signed.push([Number(row.signed), at]);
      await pause(4);
    }
  })();
  const startedAt = performance.now();
  const pending = [];
  for (let i = 0; i < perSecond * seconds; i++) {
    const wait = startedAt + (i * 1_000) / perSecond - performance.now();
    if (wait > 0) await pause(wait);
    // A mutation that finds no connection is no mutation; the rate that was reached is reported.
    pending.push(one().catch(() => undefined));
  }
  async function one() {
    const [id, context] = [newId(), freshContext({ type: 'user', id: newId() })];
    await source.transaction(async (tx) => {
      await tx.query('INSERT INTO thing (id, name, version) VALUES ($1, $2, 1)', [id, id]);
      await outbox.append(tx, { ...draft(), resourceId: id }, context);
    });
    commits.push([id, performance.now()]);
  }
  await Promise.all(pending);
  const reached = (commits.length / (performance.now() - startedAt)) * 1_000;
  const [{ all }] = await source.query('SELECT count(*) AS all FROM outbox');
  while ((await taken()) < Number(all)) await pause(20);
  const last = await size();
  while (!seen.signed.some(([signed]) => signed >= last)) await pause(20);
  isOver = true;
  await watch;
  await started.stop();
  const rows = await logDatabase.query('SELECT resource_id, log_index FROM audit.event WHERE resource_id = ANY($1)', [
    commits.map(([id]) => id),
  ]);
  const indexes = new Map(rows.map(({ resource_id, log_index }) => [resource_id, Number(log_index)]));
  const times = (steps) =>
    commits
      .map(([id, at]) => (steps.find(([reachedSize]) => reachedSize > indexes.get(id))?.[1] ?? Infinity) - at)
      .sort((a, b) => a - b);
  return { rate: reached, sequenced: times(seen.sequenced), signed: times(seen.signed) };
}

/** What an auditor runs, start of the process included. */
async function verification() {
  const { CompactRange, leafHash } = await import('@prime-nest/kit/tlog/tree');
  const { formatVerifierKey, signCheckpoint, verifierKeyOf } = await import('@prime-nest/kit/tlog/checkpoint');
  const { privateKey } = generateKeyPairSync('ed25519');
  const range = CompactRange.empty();
  const lines = sampleEntries(verified).map(({ index, receivedAt, bytes }) => {
    range.append(leafHash(bytes));
    return JSON.stringify({ index, receivedAt: receivedAt.toISOString(), entry: bytes.toString('utf8') });
  });
  const checkpoint = signCheckpoint({ origin: 'bench', size: BigInt(range.size), root: range.root() }, privateKey);
  const file = path.join(folder, 'export.ndjson');
  writeFileSync(file, `${[...lines, JSON.stringify({ checkpoint })].join('\n')}\n`);
  const verifier = fileURLToPath(new URL('../dist/verify-log.js', import.meta.url));
  const key = formatVerifierKey(verifierKeyOf('bench', privateKey));
  let startedAt = performance.now();
  const { status, stdout } = spawnSync(process.execPath, [verifier, 'export', file, '--key', key], {
    encoding: 'utf8',
  });
  const ms = performance.now() - startedAt;
  if (status !== 0) throw new Error(stdout);
  const leaves = sampleEntries(verified).map(({ bytes }) => bytes);
  const tree = CompactRange.empty();
  startedAt = performance.now();
  for (const leaf of leaves) tree.append(leafHash(leaf));
  tree.root();
  return [
    { name: 'the hashes alone', ms: performance.now() - startedAt },
    { name: '`audit-verify export`, whole process', ms },
  ];
}
