import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '@prime-nest/kit/clock';
import type { Queryable } from '@prime-nest/kit/database';
import { newId } from '@prime-nest/kit/ids';
import pg from 'pg';
import { makeEvent, makeMessage, openTestLog } from '../../test/harness.js';
import { AppendCommand } from '../log/append.command.js';
import { verifierKeyOf } from '../log/checkpoint.js';
import { LogStore } from '../log/log.store.js';
import { CheckpointStore } from '../proof/checkpoint.store.js';
import { SignCheckpointCommand } from '../proof/sign-checkpoint.command.js';
import { SignedStateStore } from '../proof/signed-state.store.js';
import { EntryStore } from '../search/entry.store.js';
import { CheckLogCommand } from './check-log.command.js';
import type { KnownTree } from './log-check.js';
import { StoredLogStore } from './stored-log.store.js';

const key = { origin: 'example.org/log', privateKey: generateKeyPairSync('ed25519').privateKey };
let log: Awaited<ReturnType<typeof openTestLog>>;
let superuser: pg.Client;
let kept: KnownTree;

// 600 entries, signed at 300 and at 600; somebody kept the first checkpoint.
beforeAll(async () => {
  log = await openTestLog();
  const { database } = log;
  const append = new AppendCommand({ database, log: new LogStore(), clock: systemClock, newId });
  const sign = new SignCheckpointCommand({
    database,
    log: new LogStore(),
    entries: new EntryStore(),
    checkpoints: new CheckpointStore(),
    signed: new SignedStateStore(undefined),
    key,
    clock: systemClock,
  });
  for (const first of [1, 301]) {
    await append.run(Array.from({ length: 300 }, (_, i) => makeMessage(makeEvent(), first + i)));
    const outcome = await sign.run();
    if ('signed' in outcome && first === 1)
      kept = { size: 300, root: outcome.signed.root, name: 'the kept checkpoint' };
  }
  superuser = new pg.Client(log.server.superuserUrl);
  await superuser.connect();
  await superuser.query('SET search_path = audit');
  const tables = await superuser.query<{ name: string }>(
    "SELECT c.oid::regclass::text AS name FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'audit'::regnamespace",
  );
  for (const { name } of tables.rows) await superuser.query(`ALTER TABLE ${name} DISABLE TRIGGER USER`);
});
afterAll(async () => {
  await superuser.end();
  await log.close();
});
beforeEach(() => superuser.query('ROLLBACK'));

/** Checks what the superuser sees inside his transaction, which is rolled back afterwards. */
async function check(sql = ''): Promise<string[]> {
  await superuser.query('BEGIN');
  if (sql !== '') await superuser.query(sql);
  const inside: Queryable = {
    query: async <T>(text: string, params: readonly unknown[] = []) =>
      (await superuser.query(text, [...params])).rows as T[],
  };
  const command = new CheckLogCommand({ database: inside, log: new StoredLogStore() });
  const { faults } = await command.run({ kept: [kept], keys: [verifierKeyOf(key.origin, key.privateKey)] });
  await superuser.query('ROLLBACK');
  return faults.map(({ kind, index, detail }) => `${kind} ${index ?? '-'}: ${detail}`);
}

describe('the check of the stored log', () => {
  test('finds nothing in a log that nobody touched (the control)', async () => {
    expect(await check()).toEqual([]);
  });

  test('names an edited entry', async () => {
    expect(
      await check(
        "UPDATE event SET entry = convert_to(replace(convert_from(entry, 'UTF8'), 'success', 'denied'), 'UTF8') WHERE log_index = 321",
      ),
    ).toEqual([
      'altered 321: the column outcome of entry 321 is not what the entry says',
      'altered 321: entry 321 is not what was hashed',
    ]);
  });

  test('names one flipped bit', async () => {
    const found = await check(
      'UPDATE event SET entry = set_bit(entry, 77, 1 - get_bit(entry, 77)) WHERE log_index = 0',
    );
    expect(found).toContain('altered 0: entry 0 is not what was hashed');
  });

  test('names the subtree of an entry that was replaced together with its hash', async () => {
    const found = await check(
      'UPDATE event SET entry = (SELECT entry FROM event WHERE log_index = 1), leaf_hash = (SELECT leaf_hash FROM event WHERE log_index = 1) WHERE log_index = 321',
    );
    expect(found).toContain('altered 256: the stored root of the entries 256 to 511 is not theirs');
    expect(found).toContain(
      'fork 300: the stored checkpoint of 600 has another root: something in the entries 300 to 599 was changed',
    );
    expect(found.some((line) => line.startsWith('altered 321: the column event_id'))).toBe(true);
  });

  test('names a deleted entry, a deleted range and a cut tail', async () => {
    expect(await check('DELETE FROM event WHERE log_index = 8')).toEqual(['gap 8: entries 8 to 8 are not there']);
    expect(await check('DELETE FROM event WHERE log_index BETWEEN 100 AND 299')).toEqual([
      'gap 100: entries 100 to 299 are not there',
    ]);
    expect(await check('DELETE FROM event WHERE log_index >= 590')).toEqual([
      'missing 590: the stored checkpoint of 600 covers 600 entries and the log ends after 590',
    ]);
    expect(await check('TRUNCATE event')).toEqual([
      'missing 0: the kept checkpoint covers 300 entries and the log ends after 0',
    ]);
  });

  test('names swapped entries', async () => {
    const found = await check(
      'UPDATE event SET log_index = 1000 - log_index WHERE log_index IN (310, 311); UPDATE event SET log_index = log_index - 379 WHERE log_index > 600',
    );
    expect(found).toContain(
      'fork 300: the stored checkpoint of 600 has another root: something in the entries 300 to 599 was changed',
    );
  });

  test('names a column that hides an entry from searches', async () => {
    expect(await check("UPDATE event SET actor_id = 'somebody else' WHERE log_index = 44")).toEqual([
      'altered 44: the column actor_id of entry 44 is not what the entry says',
    ]);
  });

  test('a log that was replaced as a whole, checkpoints included, differs from a kept checkpoint', async () => {
    const other = await openTestLog();
    const append = new AppendCommand({ database: other.database, log: new LogStore(), clock: systemClock, newId });
    await append.run(Array.from({ length: 300 }, (_, i) => makeMessage(makeEvent(), 1 + i)));
    const command = new CheckLogCommand({ database: other.database, log: new StoredLogStore() });
    expect((await command.run()).faults).toEqual([]);
    expect((await command.run({ kept: [kept] })).faults).toMatchObject([{ kind: 'fork', index: 0 }]);
    await other.close();
  });

  test('names a forged checkpoint, a forged subtree root, and entries smuggled in behind the tree', async () => {
    expect(
      await check("UPDATE checkpoint SET note = replace(note, E'\\n600\\n', E'\\n601\\n') WHERE tree_size = 600"),
    ).toEqual(['signature -: the stored checkpoint of 600 is not what was signed']);
    expect(await check('UPDATE tree_node SET hash = sha256(hash) WHERE node_index = 1')).toEqual([
      'altered 256: the stored root of the entries 256 to 511 is not theirs',
    ]);
    expect(
      await check(
        `INSERT INTO event SELECT log_index + 600, gen_random_uuid(), received_at, occurred_at, source, epoch, source_seq, type, actor_type, actor_id,
           action, resource_type, resource_id, outcome, trace_id, span_id, correlation_id, leaf_hash, entry FROM event WHERE log_index = 0`,
      ),
    ).toEqual(['fork 600: 1 entries lie beyond the tree']);
  });
});
