import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
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
import { connectBus } from '../bus/connection.js';
import { systemClock } from '../clock.js';
import { serviceContext } from '../context.js';
import { openDatabase } from '../database.js';
import type { Database } from '../database.js';
import { silentLogger } from '../log.js';
import { Secret } from '../secret.js';
import { createOutboxTables } from './outbox-migration.js';
import { createOutbox } from './outbox.js';
import { addOutboxReceipts } from './receipt-migration.js';
import type { ReceiptOptions } from './receipts.js';
import { FarEnd } from '../../test-fixtures/far-end.js';
import { storedNumbers } from '../../test-fixtures/stream-events.js';
import { startRelay } from './relay.js';
import type { Relay } from './relay.js';

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
let server: TestDatabase;
let database: Database;
let owner: pg.Client;
let relays: Relay[] = [];

const farEnd = new FarEnd();
const ask = farEnd.ask.bind(farEnd);
const held = farEnd.held.bind(farEnd);
const take = () => farEnd.take(manager);
const provision = () => provisionStreams({ servers: `nats://127.0.0.1:${String(nats.port)}` });

async function wipeStream(): Promise<void> {
  await manager.streams.delete(eventStream);
  await provision();
}

beforeAll(async () => {
  const dataDir = await runFolder('kit-receipts');
  nats = await controllable((port) => startNats({ dataDir, port, env: { ...process.env, NATS_URL: undefined } }));
  await provision();
  bus = await connectBus({ servers: `nats://127.0.0.1:${String(nats.port)}`, name: 'rbac', log });
  manager = await jetstreamManager(bus);
});
afterAll(async () => {
  await bus.close();
  await nats.stop();
});
beforeEach(async () => {
  farEnd.forget();
  await wipeStream();
  server = await createTestDatabase({ service: 'rbac', migrations: [Outbox1700000000000] });
  await openBoth(server.url, server.ownerUrl);
});
afterEach(async () => {
  await closeBoth();
  await server.drop();
});

async function openBoth(url: string, ownerUrl: string): Promise<void> {
  const options = { schema: 'rbac', entities: [], ssl: false as const, poolMax: 4, log, startTimeoutMs: 0 };
  database = await openDatabase({ ...options, url: new Secret(url), applicationName: 'kit-receipts' });
  owner = new pg.Client({ connectionString: ownerUrl, options: '-c search_path=rbac' });
  await owner.connect();
}

async function closeBoth(): Promise<void> {
  await Promise.all(relays.map((relay) => relay.stop()));
  relays = [];
  await database.close();
  await owner.end();
}

type StartOptions = Partial<ReceiptOptions> & { receipts?: false };

function start({ receipts: isAsked, ...given }: StartOptions = {}): Relay {
  const options = { ask, intervalMs: 20, patienceMs: 200, aheadMax: 4_000, ...given };
  const receipts = isAsked === false ? {} : { receipts: options };
  const relay = startRelay({
    database,
    connection: bus,
    source: 'rbac',
    log,
    intervalMs: 10,
    entriesMax: 20,
    ...receipts,
  });
  relays.push(relay);
  return relay;
}

async function write(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await database.transaction((tx) => outbox.append(tx, { type: 'rbac.role.created.v1' }, serviceContext('rbac')));
  }
}

async function ids(): Promise<string[]> {
  const rows = await database.query<{ event_id: string }>('SELECT event_id FROM outbox ORDER BY id');
  return rows.map((row) => row.event_id);
}

async function state() {
  const [row] = await database.query<{ epoch: string; last_seq: string; receipt_seq: string; note: string | null }>(
    'SELECT epoch, last_seq, receipt_seq, receipt_checkpoint AS note FROM relay_state',
  );
  if (row === undefined) throw new Error('no state');
  return { epoch: row.epoch, last: Number(row.last_seq), receipt: Number(row.receipt_seq), note: row.note };
}

const published = (count: number) => eventually(async () => (await state()).last === count);
const receipted = (count: number) => eventually(async () => (await state()).receipt === count);
const takenIds = (epoch: string) => [...held(epoch)].sort(([a], [b]) => a - b).map(([, id]) => id);

describe('a stream that loses what it acknowledged', () => {
  test('is filled again from the receipt on, with the same numbers', async () => {
    start();
    await write(30);
    await published(30);
    await take();
    await receipted(30);
    await write(25);
    await published(55);
    await wipeStream();
    await write(10);
    await eventually(async () => {
      await take();
      return held((await state()).epoch).size === 65;
    });
    expect(await storedNumbers(manager)).toHaveLength(35);
    await receipted(65);
    expect(takenIds((await state()).epoch)).toEqual(await ids());
    expect((await state()).note).toBe('signed 65');
  });

  test('is filled again only together with the record of it', async () => {
    let isRefused = true;
    const onRewound: ReceiptOptions['onRewound'] = (tx, after) => {
      if (isRefused) return Promise.reject(new Error('not recorded'));
      return outbox.append(tx, { type: 'rbac.source.rewound.v1', change: { after } }, serviceContext('rbac'));
    };
    const relay = start({ onRewound });
    await write(12);
    await published(12);
    await wipeStream();
    await eventually(() => Promise.resolve(!relay.isLeader()));
    const { epoch } = await state();
    isRefused = false;
    await eventually(async () => {
      await take();
      return held(epoch).size === 13;
    });
    const [row] = await database.query<{ entry: Buffer }>('SELECT entry FROM outbox ORDER BY id DESC LIMIT 1');
    expect(JSON.parse(String(row?.entry))).toMatchObject({ change: { after: { epoch, from: 12, to: 0 } } });
    expect(takenIds(epoch)).toEqual(await ids());
  });

  test('is filled again at the right place also where transaction ids get a digit more', async () => {
    await write(12);
    await owner.query(`UPDATE outbox o SET xid = (n.at + 3)::text::xid8
      FROM (SELECT id, row_number() OVER (ORDER BY xid, id) AS at FROM outbox) n WHERE n.id = o.id`);
    start();
    await published(12);
    await wipeStream();
    const { epoch } = await state();
    (await ids()).slice(0, 3).forEach((id, index) => held(epoch).set(index + 1, id));
    await eventually(async () => {
      await take();
      return held(epoch).size === 12;
    });
    expect(takenIds(epoch)).toEqual(await ids());
  });

  test('stays empty without receipts: the control', async () => {
    start({ receipts: false });
    await write(10);
    await published(10);
    await wipeStream();
    await write(1);
    await published(11);
    await take();
    expect([...held((await state()).epoch).keys()]).toEqual([11]);
  });

  test('is not filled again while the log is merely slow, or does not answer', async () => {
    start({ patienceMs: 100_000 });
    await write(10);
    await published(10);
    farEnd.isAway = true;
    await write(10);
    await published(20);
    expect(await storedNumbers(manager)).toHaveLength(20);
  });

  test('never holds more numbers beyond the receipt than the consumer may leave open', async () => {
    start({ aheadMax: 12, patienceMs: 100_000 });
    await write(40);
    await published(12);
    for (let count = 12; count < 40; count = Math.min(40, count + 12)) {
      await take();
      await published(Math.min(40, count + 12));
      expect((await state()).last).toBe(Math.min(40, count + 12));
    }
  });

  test('is filled from the oldest entry when the log itself was set back', async () => {
    start();
    await write(20);
    await published(20);
    await take();
    await receipted(20);
    const { epoch } = await state();
    for (let number = 6; number <= 20; number++) held(epoch).delete(number);
    await receipted(5);
    await eventually(async () => {
      await take();
      return (await state()).receipt === 20;
    });
    expect(takenIds(epoch)).toEqual(await ids());
  });
});

describe('the outbox forgets', () => {
  const age = (count: number) =>
    owner.query(
      `UPDATE outbox SET created_at = now() - interval '73 hours'
        WHERE id IN (SELECT id FROM outbox ORDER BY xid, id LIMIT ${String(count)})`,
    );
  const prune = async () => {
    const [row] = await database.query<{ pruned: string }>('SELECT prune_outbox(1000) AS pruned');
    return Number(row?.pruned);
  };

  test('what is receipted and old, nothing that is only one of the two, and always the oldest first', async () => {
    start();
    await write(10);
    await published(10);
    await age(10);
    expect(await prune()).toBe(0);
    await take();
    await receipted(10);
    await write(5);
    await published(15);
    await owner.query(
      'UPDATE outbox SET created_at = now() WHERE id = (SELECT id FROM outbox ORDER BY xid, id OFFSET 7 LIMIT 1)',
    );
    expect(await prune()).toBe(7);
    await age(8);
    expect(await prune()).toBe(3);
    expect(await prune()).toBe(0);
    expect(await ids()).toHaveLength(5);
  });

  test('without getting lost: after it numbers go on, and a rewind still finds its place', async () => {
    const relay = start();
    await write(10);
    await published(10);
    await take();
    await receipted(10);
    await age(10);
    expect(await prune()).toBe(10);
    await relay.stop();
    start();
    await write(5);
    await published(15);
    await wipeStream();
    await eventually(async () => {
      await take();
      return held((await state()).epoch).size === 15;
    });
    expect(takenIds((await state()).epoch).slice(10)).toEqual(await ids());
  });
});

describe('a database that is not the one the numbers were made in', () => {
  async function copy(change: string): Promise<TestDatabase> {
    await closeBoth();
    const admin = new pg.Client({ connectionString: server.superuserUrl.replace(server.name, 'postgres') });
    await admin.connect();
    const name = `${server.name}_restored`;
    await admin.query(`CREATE DATABASE ${name} TEMPLATE ${server.name}`);
    await admin.end();
    const moved = (url: string) => url.replace(server.name, name);
    await openBoth(moved(server.url), moved(server.ownerUrl));
    await owner.query(change);
    return server;
  }
  async function dropCopy(): Promise<void> {
    await closeBoth();
    const admin = new pg.Client({ connectionString: server.superuserUrl.replace(server.name, 'postgres') });
    await admin.connect();
    await admin.query(`DROP DATABASE ${server.name}_restored WITH (FORCE)`);
    await admin.end();
    await openBoth(server.url, server.ownerUrl);
  }

  test('restored from a dump of a server with higher transaction ids: a new epoch, and every event of either time arrives', async () => {
    const relay = start();
    await write(6);
    await published(6);
    await take();
    await receipted(6);
    const before = await state();
    await relay.stop();
    await write(4); // in the dump, not published
    // As a dump brings it: ids that this server has not given out yet.
    await copy(`UPDATE outbox SET xid = (xid::text::bigint + 1000000)::text::xid8;
      UPDATE relay_state SET last_xid = (last_xid::text::bigint + 1000000)::text::xid8,
        receipt_xid = (receipt_xid::text::bigint + 1000000)::text::xid8`);
    await write(5);
    start();
    await eventually(async () => {
      await take();
      return held((await state()).epoch).size === 15;
    });
    const { epoch } = await state();
    expect(epoch).not.toBe(before.epoch);
    expect(takenIds(epoch)).toEqual(await ids());
    await dropCopy();
  });

  test('the control: without a look at where it is, nothing written after the restore is ever published', async () => {
    const relay = start();
    await write(3);
    await published(3);
    await relay.stop();
    await copy(`UPDATE relay_state SET last_xid = (last_xid::text::bigint + 1000000)::text::xid8`);
    await write(2);
    const [row] = await database.query<{ count: string }>(
      'SELECT count(*) AS count FROM relay_state s JOIN outbox o ON (o.xid, o.id) > (s.last_xid, s.last_id)',
    );
    expect(Number(row?.count)).toBe(0);
    await dropCopy();
  });

  test('set back by a failover: numbers that were published and lost are not given to other events', async () => {
    const relay = start();
    await write(10);
    await published(10);
    await take();
    await relay.stop();
    const before = await state();
    // The standby had not heard of the last four events, nor of the cursor behind them.
    await owner.query(`DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id DESC LIMIT 4);
      UPDATE relay_state SET last_seq = 6, receipt_seq = 6, origin = regexp_replace(origin, '/[^/]*$', '/00000000'),
        last_xid = (SELECT max(xid::text::bigint)::text::xid8 FROM outbox), last_id = (SELECT max(id) FROM outbox),
        receipt_xid = (SELECT max(xid::text::bigint)::text::xid8 FROM outbox), receipt_id = (SELECT max(id) FROM outbox)`);
    await write(4);
    start();
    await eventually(async () => {
      await take(); // throws when one number stands for two events
      return held((await state()).epoch).size === 4;
    });
    const { epoch } = await state();
    expect(epoch).not.toBe(before.epoch);
    expect(takenIds(epoch)).toEqual((await ids()).slice(6));
  });

  test('set back in place: the log knows more than there is, and a new epoch begins before anything is published', async () => {
    const rewound: object[] = [];
    start({ patienceMs: 100_000, onRewound: (_tx, after) => Promise.resolve(void rewound.push(after)) });
    await write(10);
    await published(10);
    await take();
    const before = await state();
    await owner.query(`BEGIN; DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id DESC LIMIT 4);
      UPDATE relay_state SET last_seq = 6, receipt_seq = LEAST(receipt_seq, 6), last_xid = (SELECT max(xid::text::bigint)::text::xid8 FROM outbox), last_id = (SELECT max(id) FROM outbox); COMMIT`);
    await eventually(async () => (await state()).epoch !== before.epoch);
    await write(3);
    await eventually(async () => {
      await take();
      return held((await state()).epoch).size === 9;
    });
    expect(rewound).toMatchObject([{ epoch: before.epoch, from: 6, isAbandoned: true }]);
    expect(takenIds((await state()).epoch)).toEqual(await ids());
  });
});
