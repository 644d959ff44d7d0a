import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '@prime-nest/kit/clock';
import { newId } from '@prime-nest/kit/ids';
import { verifierKeyOf } from '@prime-nest/kit/tlog/checkpoint';
import type pg from 'pg';
import { makeEvent, makeMessage, openTestLog, rawMessage, testEpoch } from '../../test/harness.js';
import { connectSuperuser, faultsAfter } from '../../test/superuser.js';
import { AppendCommand } from '../log/append.command.js';
import { LogStore } from '../log/log.store.js';
import { RecordSourcesCommand } from '../log/record-sources.command.js';
import { SourceStore } from '../log/source.store.js';
import { CheckpointStore } from '../proof/checkpoint.store.js';
import { SignCheckpointCommand } from '../proof/sign-checkpoint.command.js';
import { SignedStateStore } from '../proof/signed-state.store.js';
import { EntryStore } from '../search/entry.store.js';

const key = { origin: 'example.org/log', privateKey: generateKeyPairSync('ed25519').privateKey };
let log: Awaited<ReturnType<typeof openTestLog>>;
let superuser: pg.Client;
let record: RecordSourcesCommand;

// Entries 0 to 9 are the numbers 1 to 10 of rbac, 10 stands for number 11 in quarantine, number 12 is entry 3 once more,
// 11 is number 13; entry 12 records all that. Behind it the numbers 14 to 16 of rbac and 1 and 2 of identity. All signed.
beforeAll(async () => {
  log = await openTestLog();
  const parts = { database: log.database, log: new LogStore(), clock: systemClock, newId };
  const append = new AppendCommand(parts);
  record = new RecordSourcesCommand({ ...parts, sources: new SourceStore() });
  const events = Array.from({ length: 16 }, () => makeEvent());
  const rbac = (number: number) => makeMessage(events[number === 12 ? 3 : number - 1] ?? makeEvent(), number);
  const poison = rawMessage('evt.rbac.role.created.v1', Buffer.from('no event'), {
    source: 'rbac',
    epoch: testEpoch,
    sequence: '11',
  });
  await append.run([1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(rbac));
  await append.run([poison, rbac(12), rbac(13)]);
  await record.run(1);
  const identity = (number: number) => makeMessage(makeEvent('identity.account.created.v1'), number);
  await append.run([rbac(14), identity(1), rbac(15), identity(2), rbac(16)]);
  const sign = new SignCheckpointCommand({
    ...parts,
    entries: new EntryStore(),
    checkpoints: new CheckpointStore(),
    signed: new SignedStateStore(undefined),
    key,
  });
  await sign.run();
  superuser = await connectSuperuser(log.server);
});
afterAll(async () => {
  await superuser.end();
  await log.close();
});

const check = (sql = '') => faultsAfter(superuser, sql, { keys: [verifierKeyOf(key.origin, key.privateKey)] });
const changed = (set: string, where: string) => check(`UPDATE event SET ${set} WHERE log_index ${where}`);
const exchange = (a: number, b: number) =>
  changed(
    `source_seq = (SELECT o.source_seq FROM event o WHERE o.log_index = ${a + b} - event.log_index)`,
    `IN (${a}, ${b})`,
  );
const notRecorded = (index: number) =>
  `altered ${index}: the columns epoch and source_seq of entry ${index} are not what the record of sources at entry 12 says`;
const passedOver = (number: number, index: number) =>
  `altered ${index}: what is kept of number ${number} of rbac, without an entry of its own, is not what the record of sources at entry 12 says`;

// No hash covers these columns: each of the lists would be empty without the comparison with what the log has signed.
describe('of the numbers of sources the check of the stored log', () => {
  test('finds nothing in a log that nobody touched (the control)', async () => {
    expect(await check()).toEqual([]);
  });

  test('names an entry whose number or numbering is not the recorded one', async () => {
    expect(await changed('source_seq = 99', '= 4')).toEqual([notRecorded(4)]);
    expect(await changed("epoch = 'another'", '= 4')).toEqual([notRecorded(4)]);
    expect(await changed('epoch = NULL, source_seq = NULL', '= 11')).toEqual([notRecorded(11)]);
    expect(await exchange(4, 7)).toEqual([notRecorded(4), notRecorded(7)]);
  });

  test('names an entry of the log itself that was given a number', async () => {
    expect(await changed(`epoch = '${testEpoch}', source_seq = 11`, '= 10')).toEqual([
      'altered 10: the columns epoch and source_seq of entry 10 name a number, and the log wrote the entry itself',
    ]);
  });

  test('names entries that no record covers yet, when their numbers do not follow', async () => {
    const follows = (index: number) =>
      `altered ${index}: the column source_seq of entry ${index} is not the number that follows there`;
    expect(await changed('source_seq = 17', '= 15')).toEqual([follows(15)]);
    expect(await exchange(13, 15)).toEqual([follows(13), follows(15)]);
    expect(await changed("epoch = 'another'", '= 15')).toEqual([
      'altered 15: the columns epoch and source_seq of entry 15 name no number that the state knows',
      'altered 17: the state of rbac does not fit to its entries that are not recorded: 2 entries for 3 numbers up to 16',
    ]);
  });

  test('names numbers without an entry of their own that are not kept as they are recorded', async () => {
    expect(await check('UPDATE source_number SET log_index = 5 WHERE source_seq = 12')).toEqual([passedOver(12, 3)]);
    expect(await check("UPDATE source_number SET kind = 'repeated' WHERE source_seq = 11")).toEqual([
      passedOver(11, 10),
    ]);
    expect(await check('DELETE FROM source_number')).toEqual([passedOver(11, 10), passedOver(12, 3)]);
  });

  test('says when the state claims more, or less, than the entries have', async () => {
    expect(await check("UPDATE source_state SET last_seq = 4000000000000000 WHERE source = 'rbac'")).toEqual([
      'altered 17: the state of rbac does not fit to its entries that are not recorded: 3 entries for 3999999999999987 numbers up to 4000000000000000',
    ]);
    expect(await check("UPDATE source_state SET recorded_seq = 12 WHERE source = 'rbac'")).toEqual([
      'altered -: the state says that rbac is recorded up to 12, and it is up to 13',
    ]);
    expect(await check('UPDATE log_state SET recorded_size = 11')).toEqual([
      'altered -: the state says that records cover 11 entries, and they cover 12',
    ]);
    expect(await check("DELETE FROM source_state WHERE source = 'rbac'")).toContain(
      'altered -: the state of a numbering of rbac is not there',
    );
  });

  test('names what was changed of a message in quarantine', async () => {
    const fault = (what: string) => [`altered 10: ${what} of entry 10`];
    expect(await check("UPDATE quarantine SET raw = 'something else'")).toEqual(
      fault('the message in quarantine is not that'),
    );
    expect(await check("UPDATE quarantine SET source_seq = '12'")).toEqual(
      fault('the sequence of the message in quarantine is not that'),
    );
    expect(await check("UPDATE quarantine SET reason = 'id_reused'")).toEqual(
      fault('the reason of the quarantine is not that'),
    );
    expect(await check('DELETE FROM quarantine')).toEqual(fault('the message in quarantine is not there any more'));
  });
});

describe('the record of sources', () => {
  test('is refused when numbers were exchanged before it, so that no false one is ever signed', async () => {
    await superuser.query('UPDATE event SET source_seq = 29 - source_seq WHERE log_index IN (13, 15)');
    await expect(record.run(1)).rejects.toMatchObject({ code: 'internal' });
    // The control: with the numbers as they came it is written.
    await superuser.query('UPDATE event SET source_seq = 29 - source_seq WHERE log_index IN (13, 15)');
    expect(await record.run(1)).toBe(18);
    expect(await check()).toEqual([]);
  });
});
