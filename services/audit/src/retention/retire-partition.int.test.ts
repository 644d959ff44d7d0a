import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { fixedClock, systemClock } from '@prime-nest/kit/clock';
import { freshContext } from '@prime-nest/kit/context';
import type { Database } from '@prime-nest/kit/database';
import { newId } from '@prime-nest/kit/ids';
import { createOutbox } from '@prime-nest/kit/outbox/outbox';
import pg from 'pg';
import { makeEvent, makeMessage, openTestDatabase, openTestLog, readLog } from '../../test/harness.js';
import { CheckLogCommand } from '../check/check-log.command.js';
import { StoredLogStore } from '../check/stored-log.store.js';
import { verify } from '../check/verify.command.js';
import { AppendCommand } from '../log/append.command.js';
import { formatVerifierKey, parseCheckpoint, verifierKeyOf } from '@prime-nest/kit/tlog/checkpoint';
import { LogStore } from '../log/log.store.js';
import { verifyConsistency, verifyInclusion } from '@prime-nest/kit/tlog/proof';
import { RecordSourcesCommand } from '../log/record-sources.command.js';
import { SourceStore } from '../log/source.store.js';
import { leafHash } from '@prime-nest/kit/tlog/tree';
import { CheckpointStore } from '../proof/checkpoint.store.js';
import { ProofsCommand } from '../proof/proofs.command.js';
import { SignCheckpointCommand } from '../proof/sign-checkpoint.command.js';
import { SignedStateStore } from '../proof/signed-state.store.js';
import { TreeStore } from '../proof/tree.store.js';
import { EntryStore } from '../search/entry.store.js';
import { ExportEventsCommand } from '../search/export-events.command.js';
import { RetentionStore } from './retention.store.js';
import { RetirePartitionCommand } from './retire-partition.command.js';

const key = { origin: 'example.org/log', privateKey: generateKeyPairSync('ed25519').privateKey };
const verifierKey = formatVerifierKey(verifierKeyOf(key.origin, key.privateKey));
const folder = mkdtempSync(path.join(os.tmpdir(), 'audit-retention-'));
const file = (name: string) => path.join(folder, name);
const context = freshContext({ type: 'anonymous' });
const stores = { entries: new EntryStore(), checkpoints: new CheckpointStore(), tree: new TreeStore() };
const tomorrow = () => new Date(Date.now() + 86_400_000);

let log: Awaited<ReturnType<typeof openTestLog>>;
let owner: Database;
let superuser: pg.Client;
let kept: { size: bigint; root: Buffer };
let before: Awaited<ReturnType<typeof readLog>>;

// 700 entries in partitions of 256, with records of sources between them, signed at 100 and at the end; the first two
// partitions are retired one after the other.
beforeAll(async () => {
  log = await openTestLog();
  owner = await openTestDatabase(log.server.ownerUrl);
  await owner.query('DROP TABLE event_p0');
  await owner.query('UPDATE log_state SET partition_end = 0, partition_rows = 256');
  await owner.query('SELECT add_event_partition()');
  await record(100, 1);
  await sign();
  const note = await newestNote();
  writeFileSync(file('kept.txt'), note);
  kept = parseCheckpoint(note);
  for (let first = 101; first < 700; first += 100) {
    await recordSources();
    await record(100, first);
  }
  await sign();
  writeFileSync(file('later.txt'), await newestNote());
  before = await readLog(log.database);
  superuser = new pg.Client(log.server.superuserUrl);
  await superuser.connect();
  await superuser.query('SET search_path = audit');
});
afterAll(async () => {
  await superuser.end();
  await owner.close();
  await log.close();
  rmSync(folder, { recursive: true });
});

function record(count: number, first: number) {
  const append = new AppendCommand({ database: log.database, log: new LogStore(), clock: systemClock, newId });
  return append.run(Array.from({ length: count }, (_, i) => makeMessage(makeEvent(), first + i)));
}

function recordSources() {
  const parts = { database: log.database, log: new LogStore(), sources: new SourceStore(), clock: systemClock, newId };
  return new RecordSourcesCommand(parts).run(1);
}

async function sign() {
  const signed = new SignedStateStore(undefined);
  const command = new SignCheckpointCommand({
    ...stores,
    database: log.database,
    log: new LogStore(),
    key,
    clock: systemClock,
    signed,
  });
  const outcome = await command.run();
  if ('refused' in outcome) throw new Error(outcome.refused.reason);
}

async function newestNote() {
  return (await new CheckpointStore().newest(log.database))?.note ?? '';
}

function retire({ isDropping = false, date = tomorrow(), database = owner, signWaitMs = 0 } = {}) {
  const command = new RetirePartitionCommand({
    ...stores,
    database,
    log: new LogStore(),
    store: new RetentionStore(),
    check: new CheckLogCommand({ database, log: new StoredLogStore() }),
    clock: fixedClock(tomorrow()),
    newId,
    signWaitMs,
  });
  return command.run({ before: date, folder, isDropping, reason: 'kept long enough' });
}

async function audit(...args: string[]): Promise<[number, string]> {
  let output = '';
  const env = { AUDIT_DB_URL: log.server.url };
  const known = args.map((arg) => (/\.(txt|json|ndjson)$/.test(arg) ? file(arg) : arg));
  return [await verify({ args: [...known, '--key', verifierKey], env, write: (text) => (output += text) }), output];
}

async function writeExport(name: string) {
  const outbox = createOutbox({ service: 'audit', clock: systemClock });
  const command = new ExportEventsCommand({ ...stores, database: log.database, outbox });
  const lines: string[] = [];
  for (let cursor: string | null | undefined; cursor !== null;) {
    const page = await command.run({ limit: 200, ...(cursor === undefined ? {} : { cursor }) }, context);
    if (page.retired !== undefined) lines.push(JSON.stringify({ retired: page.retired }));
    lines.push(...page.data.map((entry) => JSON.stringify(entry)));
    cursor = page.nextCursor;
    if (cursor === null) lines.push(JSON.stringify({ checkpoint: page.checkpoint }));
  }
  writeFileSync(file(name), `${lines.join('\n')}\n`);
  return lines;
}

describe('retirement', () => {
  test('takes nothing that is not old enough, and nothing before its manifest is signed', async () => {
    expect(await retire({ date: new Date(0) })).toMatchObject({ kind: 'nothing' });
    const unsigned = await retire();
    expect(unsigned).toMatchObject({ kind: 'unsigned', manifest: before.length });
    expect(await readLog(log.database)).toHaveLength(before.length + 1);
    await sign();
    expect(await retire()).toMatchObject({ kind: 'retired', manifest: before.length, partition: { from: 0, to: 256 } });
    const rows = await readLog(log.database);
    expect(rows[0]?.index).toBe(256);
    expect(rows.filter(({ type }) => type === 'audit.partition.retired.v1')).toHaveLength(1);
  });

  test('cannot be done by the service, whose role may not write a single hash of it', async () => {
    expect(await retire({ database: log.database })).toMatchObject({ kind: 'unsigned' });
    await sign();
    await expect(retire({ database: log.database })).rejects.toMatchObject({ code: '42501' });
    for (const sql of [
      'ALTER TABLE event DETACH PARTITION event_p256',
      'INSERT INTO retired_range VALUES (512, 256, 800)',
      "INSERT INTO retired_tile VALUES (9, repeat('x', 8192)::bytea)",
      'DELETE FROM retired_tile',
      'SELECT * FROM event_p0',
      'DROP TABLE event_p0',
    ])
      await expect(log.database.query(sql)).rejects.toMatchObject({ code: '42501' });
    expect(await log.database.query('SELECT to_index FROM retired_range')).toEqual([{ to_index: '256' }]);
    await expect(owner.query('DELETE FROM retired_tile')).rejects.toMatchObject({ code: '42501' });
  });

  test('goes on with the next partition and can remove the table once its archive was read back', async () => {
    rmSync(file('audit-256-511.ndjson'));
    expect(await retire({ isDropping: true })).toMatchObject({ kind: 'unsigned' });
    await sign();
    expect(await retire({ isDropping: true })).toMatchObject({ kind: 'retired', partition: { from: 256, to: 512 } });
    expect((await readLog(log.database))[0]?.index).toBe(512);
    await expect(owner.query('SELECT FROM event_p256')).rejects.toThrow('does not exist');
    await expect(owner.query('SELECT FROM event_p0')).resolves.toHaveLength(256);
    expect(await retire()).toMatchObject({ kind: 'nothing' });
  });
});

describe('after entries are retired', () => {
  test('proofs of the others, consistency with every older tree, and all tiles still verify', async () => {
    await record(20, 701);
    await sign();
    const proofs = new ProofsCommand({
      ...stores,
      database: log.database,
      outbox: createOutbox({ service: 'audit', clock: systemClock }),
      verifierKey,
    });
    const { size, root } = parseCheckpoint(await newestNote());
    const rows = await readLog(log.database);
    for (const row of [rows[0], rows[57], rows.at(-1)]) {
      const proof = await proofs.inclusion({ id: row?.eventId ?? '' }, context);
      const hashes = proof.proof.map((hash) => Buffer.from(hash, 'base64'));
      const claim = { index: BigInt(proof.index), size, root, proof: hashes };
      expect(verifyInclusion({ ...claim, leafHash: leafHash(Buffer.from(proof.entry, 'base64')) })).toBe(true);
      expect(verifyInclusion({ ...claim, leafHash: leafHash(Buffer.from('another')) })).toBe(false);
    }
    const { proof } = await proofs.consistency({ from: Number(kept.size) });
    const steps = proof.map((hash) => Buffer.from(hash, 'base64'));
    const grown = { oldSize: kept.size, oldRoot: kept.root, size, root };
    expect(verifyConsistency({ ...grown, proof: steps })).toBe(true);
    expect(verifyConsistency({ ...grown, oldRoot: root, proof: steps })).toBe(false);
    for (const index of [0, 1, 2]) {
      const tile = await proofs.tile({ level: 0, index, width: index === 2 ? 100 : 256 });
      const hashes = before.slice(index * 256, index * 256 + (index === 2 ? 100 : 256)).map((row) => row.leafHash);
      expect(tile.data).toBe(Buffer.concat(hashes).toString('base64'));
    }
  });

  test('the stored log verifies, kept checkpoints of the retired entries included', async () => {
    const [code, output] = await audit('database', '--kept', 'kept.txt', '--kept', 'later.txt');
    expect([code, output]).toEqual([0, expect.stringContaining('0 to 511 retired by the manifest at')]);
  });

  test('an export verifies by itself from the manifest on, and as a whole with the archives', async () => {
    const lines = await writeExport('export.ndjson');
    expect(await audit('export', 'export.ndjson', '--kept', 'later.txt')).toEqual([
      0,
      expect.stringContaining('0 to 511 retired by the manifest at'),
    ]);
    const whole = ['export', 'export.ndjson', '--archive', 'audit-0-255.ndjson', '--archive', 'audit-256-511.ndjson'];
    expect(await audit(...whole, '--kept', 'kept.txt')).toEqual([0, expect.stringContaining('no number')]);
    // What nobody can judge from this file is not passed over.
    expect(await audit('export', 'export.ndjson', '--kept', 'kept.txt')).toEqual([
      6,
      expect.stringContaining('covers 100 entries, which are retired'),
    ]);
    writeFileSync(file('unsaid.ndjson'), `${lines.slice(1).join('\n')}\n`);
    expect(await audit('export', 'unsaid.ndjson')).toEqual([5, expect.stringContaining('entries 0 to 511')]);
    const manifest = lines.findLast((line) => line.includes('audit.partition.retired.v1')) ?? '';
    const older = lines.find((line) => line.includes('audit.partition.retired.v1')) ?? '';
    const { index } = JSON.parse(older) as { index: number };
    expect(older).not.toBe(manifest);
    const other = JSON.parse(lines[0] ?? '') as { retired: { manifest: number } };
    const claim = JSON.stringify({ retired: { ...other.retired, manifest: index } });
    writeFileSync(file('other.ndjson'), `${[claim, ...lines.slice(1)].join('\n')}\n`);
    expect(await audit('export', 'other.ndjson')).toEqual([5, expect.stringContaining('no entry of the log retires')]);
  });

  test('an archive verifies against the tree, and one changed byte of it does not', async () => {
    for (const range of ['0-255', '256-511']) {
      const proof = `audit-${range}.ndjson.proof.json`;
      const [from, to] = range.split('-');
      expect(await audit('archive', `audit-${range}.ndjson`, proof)).toEqual([
        0,
        expect.stringContaining(`the entries ${from} to ${to} are those that the manifest at`),
      ]);
      const text = readFileSync(file(`audit-${range}.ndjson`), 'utf8');
      writeFileSync(file('changed.ndjson'), text.replace('"outcome":"success"', '"outcome":"denied"'));
      expect(await audit('archive', 'changed.ndjson', proof)).toEqual([3, expect.stringContaining('is not what')]);
      writeFileSync(file('short.ndjson'), text.split('\n').slice(0, 200).join('\n'));
      expect(await audit('archive', 'short.ndjson', proof)).toEqual([3, expect.stringContaining('archive ends after')]);
    }
    const wrong = await audit('archive', 'audit-0-255.ndjson', 'audit-256-511.ndjson.proof.json');
    expect(wrong[0]).not.toBe(0);
  });

  test.each([
    ['deleted without a manifest', 'DELETE FROM event WHERE log_index < 600', 'entries 512 to 599 are not there'],
    [
      'deleted and passed off as retired',
      `INSERT INTO retired_tile SELECT log_index / 256, string_agg(leaf_hash, ''::bytea ORDER BY log_index) FROM event
         WHERE log_index >= 512 AND log_index < 768 GROUP BY 1 HAVING count(*) = 256;
       INSERT INTO retired_range VALUES (768, 512, 900);
       DELETE FROM event WHERE log_index < 768`,
      'the entries 0 to 767 are not there, and no entry of the log retires them',
    ],
    [
      'whose hashes are altered',
      "UPDATE retired_tile SET hashes = repeat('x', 8192)::bytea WHERE tile_index = 0",
      'entries 0 to ',
    ],
    ['whose hashes are gone', 'DELETE FROM retired_tile', 'entries 0 to 511 are not there'],
  ])('a range %s is found and named', async (_name, sql, text) => {
    await record(300, 721 + 300 * controls++);
    await sign();
    await superuser.query('BEGIN');
    const tables = ['event', 'retired_tile', 'retired_range'];
    for (const table of tables) await superuser.query(`ALTER TABLE ${table} DISABLE TRIGGER ALL`);
    await superuser.query(sql);
    const inside = {
      query: async <T>(statement: string, params: readonly unknown[] = []) =>
        (await superuser.query(statement, [...params])).rows as T[],
    };
    const { faults } = await new CheckLogCommand({ database: inside, log: new StoredLogStore() }).run();
    await superuser.query('ROLLBACK');
    expect(faults.map(({ detail }) => detail).join('\n')).toContain(text);
  });

  test('a log with a fault is not retired any further: what is wrong could not be shown any more', async () => {
    await superuser.query(`ALTER TABLE event_p512 DISABLE TRIGGER ALL`);
    await superuser.query(
      'UPDATE event_p512 SET entry = set_bit(entry, 77, 1 - get_bit(entry, 77)) WHERE log_index = 600',
    );
    expect(await retire()).toEqual({ kind: 'refused', why: expect.stringContaining('entry 600') });
    expect((await readLog(log.database))[0]?.index).toBe(512);
  });
});

let controls = 0;
