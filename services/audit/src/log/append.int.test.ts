import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { fixedClock } from '@prime-nest/kit/clock';
import type { Database } from '@prime-nest/kit/database';
import { newId } from '@prime-nest/kit/ids';
import pg from 'pg';
import {
  makeEvent,
  makeMessage,
  openTestDatabase,
  openTestLog,
  rawMessage,
  readLog,
  testEpoch,
  verifyStoredLog,
} from '../../test/harness.js';
import { AppendCommand } from './append.command.js';
import { entryBytes } from './entry.js';
import { LogStore } from './log.store.js';

let log: Awaited<ReturnType<typeof openTestLog>>;
const now = new Date('2026-03-01T12:00:01.000Z');

beforeEach(async () => {
  log = await openTestLog();
});
afterEach(async () => {
  await log.close();
});

const appendOn = (database: Database): AppendCommand =>
  new AppendCommand({ database, log: new LogStore(), clock: fixedClock(now), newId });
const messages = (count: number, first = 1) =>
  Array.from({ length: count }, (_, i) => makeMessage(makeEvent(), first + i));
const sequences = async () => (await readLog(log.database)).map(({ sequence }) => sequence);

async function asOwner(sql: string): Promise<void> {
  const client = new pg.Client(log.server.ownerUrl);
  await client.connect();
  await client.query(`SET search_path = audit; ${sql}`);
  await client.end();
}

describe('appending', () => {
  test('the same batch again, in any order and cut differently, adds nothing', async () => {
    const append = appendOn(log.database);
    const batch = messages(40);
    await append.run(batch);
    expect(await append.run([...batch].reverse())).toMatchObject({ recorded: [], parked: [] });
    const again = await append.run([...batch.slice(20), ...messages(1, 41)]);
    expect(again.recorded).toMatchObject([{ index: 40 }]);
    expect(again.duplicates).toHaveLength(20);
    expect(await verifyStoredLog(log.database)).toBe(41);
  });

  test('what waits in a numbering that its source gives up is settled when the log has read that it did', async () => {
    const append = appendOn(log.database);
    const [again, lost] = [makeEvent(), makeEvent()];
    const waiting = () => [again, lost].map((event, i) => makeMessage(event, 3 + i, testEpoch, true));
    await append.run(messages(1));
    expect((await append.run(waiting())).parked).toHaveLength(2);
    const change = { after: { epoch: testEpoch, from: 4, to: 1, isAbandoned: true } };
    const said = makeEvent('rbac.source.rewound.v1', { change });
    await append.run([makeMessage(again, 1, 'epoch-2'), makeMessage(said, 2, 'epoch-2')]);
    const settled = await append.run(waiting());
    expect(settled.parked).toEqual([]);
    expect(settled.duplicates).toHaveLength(1);
    expect(settled.recorded).toMatchObject([{ verdict: { kind: 'quarantine', reason: 'epoch_abandoned' } }]);
    const rows = await log.database.query<{ raw: Buffer }>('SELECT raw FROM quarantine');
    expect(rows.map(({ raw }) => raw.toString('utf8'))).toEqual([entryBytes(lost).toString('utf8')]);
    expect((await append.run(waiting())).duplicates).toHaveLength(2);
    expect(await verifyStoredLog(log.database)).toBe(4);
  });

  test('two sequencers with the same messages at the same time make one log', async () => {
    const other = await openTestDatabase(log.server.url);
    const [one, two] = [appendOn(log.database), appendOn(other)];
    const all = messages(400);
    const cut = (size: number) =>
      Array.from({ length: Math.ceil(all.length / size) }, (_, i) => all.slice(i * size, (i + 1) * size));
    const feed = async (append: AppendCommand, size: number) => {
      for (const batch of cut(size)) {
        // As the stream does: what is parked comes again.
        for (let rest = batch; rest.length > 0;) rest = [...(await append.run(rest)).parked];
      }
    };
    await Promise.all([feed(one, 7), feed(two, 11)]);
    await other.close();
    expect(await sequences()).toEqual(all.map((_, i) => i + 1));
    expect(await verifyStoredLog(log.database)).toBe(400);
  });

  test('a transaction that fails leaves nothing behind, neither entries nor watermark', async () => {
    const append = appendOn(log.database);
    await append.run(messages(1));
    await asOwner('REVOKE UPDATE (tree_size) ON log_state FROM audit');
    await expect(append.run(messages(3, 2))).rejects.toThrow();
    await asOwner('GRANT UPDATE (tree_size) ON log_state TO audit');
    expect(await sequences()).toEqual([1]);
    await append.run(messages(1, 2));
    expect(await verifyStoredLog(log.database)).toBe(2);
  });

  test('a value that PostgreSQL cannot store costs its own message a place in the log and no other', async () => {
    const append = appendOn(log.database);
    const bad = makeMessage(makeEvent('rbac.role.created.v1', { occurredAt: '0000-01-01T00:00:00.000Z' }), 3);
    const batch = [...messages(2), bad, ...messages(2, 4)];
    const { recorded } = await append.run(batch);
    expect(recorded.map(({ verdict }) => (verdict.kind === 'quarantine' ? verdict.reason : verdict.kind))).toEqual([
      'append',
      'append',
      'unstorable',
      'append',
      'append',
    ]);
    expect((await append.run(batch)).duplicates).toHaveLength(5);
    expect(await verifyStoredLog(log.database)).toBe(5);
  });

  test('NUL in a field stays in the evidence and does not stop the index', async () => {
    const event = makeEvent('rbac.role.created.v1', { resource: { type: 'role', id: 'a\u0000b' } });
    await appendOn(log.database).run([makeMessage(event, 1)]);
    const [row] = await readLog(log.database);
    expect(JSON.parse(row?.entry.toString() ?? '')).toEqual(event);
  });

  test('every kind of poison gets one entry, one row in quarantine, and is a duplicate from then on', async () => {
    const append = appendOn(log.database);
    const event = makeEvent();
    const at = (sequence: string) => ({ source: 'rbac', epoch: testEpoch, sequence });
    const subject = 'evt.rbac.role.created.v1';
    const poison = [
      rawMessage(subject, Buffer.from([0, 0xff]), at('1')),
      rawMessage(subject, Buffer.from(' {}'), at('2')),
      rawMessage(subject, Buffer.from('{}'), at('3')),
      rawMessage('evt.rbac.role.deleted.v1', entryBytes(event), at('4')),
      rawMessage(subject, Buffer.alloc(900_000, 0x20), at('5')),
      rawMessage(subject, entryBytes(event), at('')),
      rawMessage(subject, entryBytes(event), { ...at('6'), source: 'identity' }),
    ];
    const { recorded } = await append.run(poison);
    expect(recorded).toHaveLength(7);
    expect(await append.run(poison)).toMatchObject({ recorded: [], duplicates: poison });
    expect((await append.run([makeMessage(event, 6)])).recorded).toMatchObject([{ index: 7 }]);
    const kept = await log.database.query<{ reason: string; raw: Buffer }>(
      'SELECT reason, raw FROM quarantine ORDER BY log_index',
    );
    expect(kept.map(({ reason }) => reason)).toEqual([
      'not_json',
      'not_canonical',
      'wrong_schema',
      'wrong_subject',
      'oversize',
      'no_sequence',
      'wrong_source',
    ]);
    kept.forEach(({ raw }, i) =>
      expect(raw.equals(poison[i]?.bytes.subarray(0, 65_536) ?? Buffer.alloc(0))).toBe(true),
    );
    await verifyStoredLog(log.database);
  });

  test('the log runs over the end of a partition', async () => {
    await asOwner(`UPDATE log_state SET partition_rows = 256, partition_end = 0; ALTER TABLE event DETACH PARTITION event_p0;
      DROP TABLE event_p0; SELECT add_event_partition()`);
    const append = appendOn(log.database);
    for (let first = 1; first <= 900; first += 300) await append.run(messages(300, first));
    expect(await verifyStoredLog(log.database)).toBe(900);
    const parts = await log.database.query<{ part: string }>(
      'SELECT DISTINCT tableoid::regclass::text AS part FROM event ORDER BY 1',
    );
    expect(parts).toHaveLength(4);
    const nodes = await log.database.query<{ level: number; node_index: string }>(
      'SELECT level, node_index FROM tree_node ORDER BY 1, 2',
    );
    expect(nodes).toEqual([0, 1, 2].map((index) => ({ level: 1, node_index: String(index) })));
  });
});
