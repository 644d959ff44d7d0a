import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '@prime-nest/kit/clock';
import { newId } from '@prime-nest/kit/ids';
import type pg from 'pg';
import { makeEvent, makeMessage, openTestLog } from '../../test/harness.js';
import { connectSuperuser, faultsAfter } from '../../test/superuser.js';
import { AppendCommand } from '../log/append.command.js';
import { verifierKeyOf } from '@prime-nest/kit/tlog/checkpoint';
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
  superuser = await connectSuperuser(log.server);
});
afterAll(async () => {
  await superuser.end();
  await log.close();
});
beforeEach(() => superuser.query('ROLLBACK'));

const check = (sql = '') =>
  faultsAfter(superuser, sql, { kept: [kept], keys: [verifierKeyOf(key.origin, key.privateKey)] });

const exchanged = [
  'altered 310: entry 310 is not what was hashed: it is the one that belongs at 311',
  'altered 311: entry 311 is not what was hashed: it is the one that belongs at 310',
];

// Both rows were appended in the batch that begins at entry 300.
const exchangeCopies = `UPDATE leaf_run SET hashes = overlay(overlay(hashes PLACING substring(hashes FROM 353 FOR 32) FROM 321)
  PLACING substring(hashes FROM 321 FOR 32) FROM 353) WHERE first_index = 300`;

/** Puts what entry `from` says in the place of another, columns and hash included. */
function replaceEntry(index: number, from: number): string {
  const columns = `event_id, occurred_at, source, type, actor_type, actor_id, action, resource_type, resource_id, outcome,
    trace_id, span_id, correlation_id, leaf_hash, entry`;
  return `DROP INDEX event_p0_once;
    UPDATE event SET (${columns}) = (SELECT ${columns} FROM event WHERE log_index = ${from}) WHERE log_index = ${index}`;
}

function replaceCopy(index: number, from: number): string {
  return `UPDATE leaf_run SET hashes = overlay(hashes PLACING (SELECT leaf_hash FROM event WHERE log_index = ${from}) FROM ${(index - 300) * 32 + 1})
    WHERE first_index = 300`;
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

  test('names an entry that was replaced together with its hash', async () => {
    const found = await check(
      'UPDATE event SET entry = (SELECT entry FROM event WHERE log_index = 1), leaf_hash = (SELECT leaf_hash FROM event WHERE log_index = 1) WHERE log_index = 321',
    );
    expect(found).toContain('altered 321: entry 321 is not what was hashed');
    expect(found.every((line) => line.startsWith('altered 321: '))).toBe(true);
  });

  test('shows between which signatures an entry was replaced together with all that the database knows of it', async () => {
    const found = await check(`${replaceEntry(321, 1)}; ${replaceCopy(321, 1)}`);
    // Nothing in the database tells this entry from its neighbours any more: the subtree and the signatures do.
    expect(found).toEqual([
      'fork 300: the stored checkpoint of 600 has another root: something in the entries 300 to 599 was changed',
      'altered 256: the stored root of the entries 256 to 511 is not theirs',
    ]);
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

  test('names two entries that were exchanged, whole rows', async () => {
    const found = await check(
      'UPDATE event SET log_index = 1000 - log_index WHERE log_index IN (310, 311); UPDATE event SET log_index = log_index - 379 WHERE log_index > 600',
    );
    expect(found).toEqual(exchanged);
  });

  test('names two entries that were exchanged and left their numbers and hashes behind', async () => {
    const found = await check(
      'UPDATE event e SET entry = o.entry FROM event o WHERE e.log_index IN (310, 311) AND o.log_index = 621 - e.log_index',
    );
    expect(found.filter((line) => !line.includes('column'))).toEqual(exchanged);
  });

  test('names two entries whose hashes were exchanged', async () => {
    const found = await check(
      'UPDATE event e SET leaf_hash = o.leaf_hash FROM event o WHERE e.log_index IN (310, 311) AND o.log_index = 621 - e.log_index',
    );
    expect(found).toEqual([
      'altered 310: the hash beside entry 310 is not its hash',
      'altered 311: the hash beside entry 311 is not its hash',
    ]);
  });

  test('names two entries whose copied hashes were exchanged', async () => {
    expect(await check(exchangeCopies)).toEqual([
      'altered 310: the hash kept apart from entry 310 is not its hash',
      'altered 311: the hash kept apart from entry 311 is not its hash',
    ]);
  });

  test('names two entries that were exchanged with everything that the database knows of them', async () => {
    const found = await check(
      `UPDATE event SET log_index = 1000 - log_index WHERE log_index IN (310, 311); UPDATE event SET log_index = log_index - 379 WHERE log_index > 600; ${exchangeCopies}`,
    );
    expect(found).toContain("altered 310: entry 310 and entry 311 stand in each other's place");
  });

  test('names entries whose copied hashes were deleted', async () => {
    expect(await check('DELETE FROM leaf_run WHERE first_index = 300')).toEqual([
      'altered 300: the hash that entry 300 was appended with is not kept any more',
    ]);
  });

  test('names every one of several faults, one of them behind a deleted entry', async () => {
    const found = await check(
      `DELETE FROM event WHERE log_index IN (8, 20); UPDATE event SET leaf_hash = sha256('') WHERE log_index = 44; ${replaceEntry(321, 1)}`,
    );
    expect(found).toEqual([
      'gap 8: entries 8 to 8 are not there',
      'gap 20: entries 20 to 20 are not there',
      'altered 44: the hash beside entry 44 is not its hash',
      'altered 321: entry 321 is not what was hashed',
    ]);
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
