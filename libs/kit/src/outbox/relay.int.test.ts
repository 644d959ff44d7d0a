import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { eventStream } from '@prime-nest/contracts/events';
import { provisionStreams } from '@prime-nest/devstack/provision';
import { startNats } from '@prime-nest/devstack/provider-nats';
import { controllable } from '@prime-nest/testkit/controllable';
import type { TestServer } from '@prime-nest/testkit/controllable';
import { eventually } from '@prime-nest/testkit/eventually';
import { createTestDatabase } from '@prime-nest/testkit/postgres';
import type { TestDatabase } from '@prime-nest/testkit/postgres';
import { runFolder } from '@prime-nest/testkit/test-run';
import pg from 'pg';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { sightings, storedMessages } from '../../test-fixtures/stream-events.js';
import type { Sighting } from '../../test-fixtures/stream-events.js';
import { connectBus } from '../bus/connection.js';
import { systemClock } from '../clock.js';
import { serviceContext } from '../context.js';
import { openDatabase } from '../database.js';
import type { Database } from '../database.js';
import { silentLogger } from '../log.js';
import { Secret } from '../secret.js';
import { advance, readBatch } from './batch.js';
import { createOutboxTables } from './outbox-migration.js';
import { createOutbox } from './outbox.js';
import { addOutboxReceipts } from './receipt-migration.js';
import { publishBatch } from './publish.js';
import { startRelay } from './relay.js';

class Outbox1700000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(createOutboxTables('rbac'));
    await runner.query(addOutboxReceipts('rbac'));
  }
  async down(): Promise<void> {}
}

const log = silentLogger();
const outbox = createOutbox({ service: 'rbac', clock: systemClock });
let nats: TestServer;
let bus: NatsConnection;
let manager: JetStreamManager;
/** Every message that was put on the wire, also those that JetStream recognises as duplicates. */
let wire: Sighting[] = [];
let server: TestDatabase;
let database: Database;
let admin: pg.Client;

beforeAll(async () => {
  const dataDir = await runFolder('kit-relay');
  nats = await controllable((port) => startNats({ dataDir, port, env: { ...process.env, NATS_URL: undefined } }));
  const servers = `nats://127.0.0.1:${String(nats.port)}`;
  await provisionStreams({ servers });
  bus = await connectBus({ servers, name: 'rbac', log });
  manager = await jetstreamManager(bus);
  bus.subscribe('evt.>', {
    callback: (_error, message) => {
      const { headers } = message;
      if (headers !== undefined) wire.push(...sightings(headers, message.data));
    },
  });
});
afterAll(async () => {
  await closeDatabase();
  await bus.close();
  await nats.stop();
});

async function closeDatabase(): Promise<void> {
  if (database === undefined) return;
  await database.close();
  await admin.end();
  await server.drop();
}

beforeEach(async () => {
  await closeDatabase();
  server = await createTestDatabase({ service: 'rbac', migrations: [Outbox1700000000000] });
  database = await openDatabase({
    url: new Secret(server.url),
    schema: 'rbac',
    entities: [],
    ssl: false,
    poolMax: 16,
    log,
    applicationName: 'kit-relay',
    startTimeoutMs: 0,
  });
  admin = new pg.Client({ connectionString: server.superuserUrl });
  await admin.connect();
  // A fresh stream per test: this one refuses to be purged.
  await manager.streams.delete(eventStream);
  await provisionStreams({ servers: `nats://127.0.0.1:${String(nats.port)}` });
  wire = [];
});

/** `writers` at once, each with its own transactions; every fifth rolls back, every third takes its time. */
async function write(writers: number, each: number, onError: 'throw' | 'ignore' = 'throw'): Promise<void> {
  await Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      for (let i = 0; i < each; i++) {
        const work = database.transaction(async (tx) => {
          await outbox.append(
            tx,
            { type: 'rbac.role.created.v1', resourceId: `${String(writer)}-${String(i)}` },
            serviceContext('rbac'),
          );
          if ((writer + i) % 3 === 0) await tx.query('SELECT pg_sleep(0.02)');
          if (i % 2 === 0) await outbox.append(tx, { type: 'rbac.role.updated.v1' }, serviceContext('rbac'));
          if (i % 5 === 4) throw new RangeError('rolled back on purpose');
        });
        await work.catch((error: unknown) => {
          if (onError === 'throw' && !(error instanceof RangeError)) throw error;
        });
      }
    }),
  );
}

async function committed(): Promise<string[]> {
  const rows = await database.query<{ event_id: string }>('SELECT event_id FROM outbox ORDER BY xid, id');
  return rows.map((row) => row.event_id);
}

/**
 * What JetStream holds, in its order, each event where it stands first. A message that was cut differently the second
 * time is not known to JetStream; the log takes its events once.
 */
async function streamed(): Promise<Sighting[]> {
  const seen = new Set<string>();
  return (await storedMessages(manager)).flat().filter(({ id }) => !seen.has(id) && seen.add(id));
}

/** Everything that was ever sent agrees: one number per event, counted 1, 2, 3 … in commit-horizon order, one epoch. */
async function expectOneNumbering(): Promise<void> {
  const ids = await committed();
  const numbers = new Map<string, number>();
  for (const { id, seq } of wire) expect(numbers.get(id) ?? seq).toBe((numbers.set(id, seq), seq));
  expect(new Set(wire.map(({ epoch }) => epoch)).size).toBe(1);
  expect(ids.map((id) => numbers.get(id))).toEqual(ids.map((_, index) => index + 1));
  expect(numbers.size).toBe(ids.length);
}

const options = () => ({ database, connection: bus, source: 'rbac', log, intervalMs: 20 });

describe('the relay', () => {
  test('under 12 writers with rollbacks publishes every committed event once, numbered without a gap; a cursor on id alone loses some', async () => {
    const naive = new Set<string>();
    let last = '0';
    let isDone = false;
    const control = (async () => {
      while (!isDone) {
        const rows = await database.query<{ id: string; event_id: string }>(
          'SELECT id, event_id FROM outbox WHERE id > $1 ORDER BY id',
          [last],
        );
        for (const row of rows) {
          naive.add(row.event_id);
          last = row.id;
        }
      }
    })();
    const relay = startRelay(options());
    outbox.onCommitted(() => {
      relay.wake();
    });
    await write(12, 25);
    await eventually(async () => (await relay.lag()).pending === 0);
    isDone = true;
    await control;
    await relay.stop();
    const ids = await committed();
    const inStream = await streamed();
    expect(ids.length).toBeGreaterThan(300);
    expect(inStream.map(({ id }) => id).sort()).toEqual([...ids].sort());
    expect(inStream.map(({ seq }) => seq)).toEqual(ids.map((_, index) => index + 1));
    await expectOneNumbering();
    const missed = ids.filter((id) => !naive.has(id)).length;
    process.stdout.write(`events: ${String(ids.length)}, lost: 0, lost by a cursor on id alone: ${String(missed)}\n`);
    expect(missed).toBeGreaterThan(0);
  });

  test('killed between publishing and moving its cursor sends the same ids with the same numbers again', async () => {
    await write(3, 4);
    const first = await readBatch(database, 'rbac', 5);
    if (first === undefined) throw new Error('no state');
    expect(await publishBatch(bus, 'rbac', first)).toEqual({ stored: 5 });
    // The process ends here: published, not recorded. More is written before the next one comes.
    await write(3, 4);
    const again = await readBatch(database, 'rbac', 5);
    expect(again).toEqual(first);
    if (again === undefined) throw new Error('no state');
    expect(await publishBatch(bus, 'rbac', again)).toEqual({ stored: 5 });
    expect(await storedMessages(manager)).toHaveLength(1);
    const relay = startRelay(options());
    await eventually(async () => (await relay.lag()).pending === 0);
    await relay.stop();
    await bus.flush();
    const ids = await committed();
    expect(wire.filter(({ id }) => id === first.entries[0]?.eventId)).toHaveLength(3);
    expect((await streamed()).map(({ id }) => id)).toEqual(ids);
    await expectOneNumbering();
  });

  test('puts neighbours into one message, cut at the same numbers whatever it begins with', async () => {
    await database.transaction(async (tx) => {
      for (let i = 0; i < 150; i++) await outbox.append(tx, { type: 'rbac.role.updated.v1' }, serviceContext('rbac'));
    });
    const batch = await readBatch(database, 'rbac', 150);
    if (batch === undefined) throw new Error('no state');
    expect(await publishBatch(bus, 'rbac', { ...batch, entries: batch.entries.slice(0, 100) })).toEqual({
      stored: 100,
    });
    expect((await storedMessages(manager)).map((message) => message.map(({ seq }) => seq).at(-1))).toEqual([64, 100]);
    expect(await publishBatch(bus, 'rbac', batch)).toEqual({ stored: 150 });
    // The full message is known by its id; those that were not full are there in both cuts.
    expect((await storedMessages(manager)).map((message) => message.length)).toEqual([64, 36, 64, 22]);
    expect((await streamed()).map(({ id }) => id)).toEqual(await committed());
    await expectOneNumbering();
  });

  test('carries the trace of the mutation, not its own', async () => {
    const context = serviceContext('rbac');
    await database.transaction((tx) => outbox.append(tx, { type: 'rbac.role.deleted.v1' }, context));
    const relay = startRelay(options());
    await eventually(async () => (await streamed()).length === 1);
    await relay.stop();
    const [stored] = await database.query<{ traceparent: string }>(
      'SELECT traceparent FROM outbox ORDER BY id DESC LIMIT 1',
    );
    expect(stored?.traceparent).toContain(context.trace.traceId);
    expect((await streamed())[0]?.traceparent).toBe(stored?.traceparent);
  });

  test('run twice without its lock does not diverge: each step is taken by one of them', async () => {
    let isDone = false;
    let refused = 0;
    const pump = async () => {
      while (!isDone) {
        const batch = await readBatch(database, 'rbac', 7);
        const entry = batch?.entries.at(-1);
        if (batch === undefined || entry === undefined) continue;
        await publishBatch(bus, 'rbac', batch);
        if (!(await advance(database, 'rbac', batch.cursor, entry))) refused++;
      }
    };
    const pumps = [pump(), pump(), pump()];
    await write(8, 15);
    await eventually(async () => (await streamed()).length === (await committed()).length);
    isDone = true;
    await Promise.all(pumps);
    expect(refused).toBeGreaterThan(0);
    expect((await streamed()).map(({ seq }) => seq)).toEqual((await committed()).map((_, index) => index + 1));
    await expectOneNumbering();
  });

  test('started by every replica is led by one, and by another as soon as that one stops', async () => {
    const relays = [startRelay(options()), startRelay(options()), startRelay(options())];
    await eventually(() => relays.some((relay) => relay.isLeader()));
    const leader = relays.find((relay) => relay.isLeader());
    const others = relays.filter((relay) => relay !== leader);
    await write(4, 5);
    await eventually(async () => (await others[0]?.lag())?.pending === 0);
    expect(others.some((relay) => relay.isLeader())).toBe(false);
    await leader?.stop();
    await write(4, 5);
    await eventually(async () => (await others[0]?.lag())?.pending === 0);
    expect(others.filter((relay) => relay.isLeader())).toHaveLength(1);
    await Promise.all(others.map((relay) => relay.stop()));
    await expectOneNumbering();
  });

  test('survives the loss of its database connection and of NATS, over and over, and loses nothing', async () => {
    const relay = startRelay(options());
    const standby = startRelay(options());
    let isWriting = true;
    const writing = write(8, 40, 'ignore').finally(() => (isWriting = false));
    let cuts = 0;
    while (isWriting || cuts < 6) {
      const before = wire.length;
      await eventually(() => (relay.isLeader() || standby.isLeader()) && (wire.length > before || !isWriting));
      if (cuts === 2) await nats.restart();
      if (cuts === 4) {
        await nats.kill();
        await write(2, 3);
        await nats.restart();
      }
      await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rbac-relay'");
      cuts++;
    }
    await writing;
    await eventually(async () => (await relay.lag()).pending === 0, { deadlineMs: 30_000 });
    await Promise.all([relay.stop(), standby.stop()]);
    const ids = await committed();
    const inStream = await streamed();
    process.stdout.write(
      `events: ${String(ids.length)} through ${String(cuts)} cuts, sent ${String(wire.length)} times\n`,
    );
    expect(inStream.map(({ id }) => id).sort()).toEqual([...ids].sort());
    await expectOneNumberingInStream(inStream, ids);
  });

  test('tells how much waits while NATS is away, and holds back nothing but the events', async () => {
    await nats.kill();
    const relay = startRelay(options());
    await write(2, 3);
    const lag = await relay.lag();
    expect(lag.pending).toBe((await committed()).length);
    expect(lag.oldestSeconds).toBeGreaterThan(0);
    await nats.restart();
    await eventually(async () => (await relay.lag()).pending === 0);
    await relay.stop();
  });
});

/** As {@link expectOneNumbering}, for a run in which the observer was cut off at times as well. */
async function expectOneNumberingInStream(inStream: Sighting[], ids: string[]): Promise<void> {
  const numbers = new Map(inStream.map(({ id, seq }) => [id, seq]));
  expect(ids.map((id) => numbers.get(id))).toEqual(ids.map((_, index) => index + 1));
  for (const { id, seq } of wire) expect(numbers.get(id)).toBe(seq);
  return Promise.resolve();
}
