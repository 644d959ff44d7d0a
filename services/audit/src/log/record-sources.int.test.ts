import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { fixedClock } from '@prime-nest/kit/clock';
import { newId } from '@prime-nest/kit/ids';
import pg from 'pg';
import {
  makeEvent,
  makeMessage,
  openTestLog,
  rawMessage,
  readLog,
  testEpoch,
  verifyStoredLog,
} from '../../test/harness.js';
import { CheckLogCommand } from '../check/check-log.command.js';
import { SourceCheck } from '../check/source-check.js';
import { StoredLogStore } from '../check/stored-log.store.js';
import { AppendCommand } from './append.command.js';
import { entryBytes } from './entry.js';
import { LogStore } from './log.store.js';
import { RecordSourcesCommand } from './record-sources.command.js';
import { SourceStore } from './source.store.js';

let log: Awaited<ReturnType<typeof openTestLog>>;
let append: AppendCommand;
let record: RecordSourcesCommand;

beforeEach(async () => {
  log = await openTestLog();
  const parts = {
    database: log.database,
    log: new LogStore(),
    clock: fixedClock(new Date('2026-03-01T12:00:01Z')),
    newId,
  };
  append = new AppendCommand(parts);
  record = new RecordSourcesCommand({ ...parts, sources: new SourceStore() });
});
afterEach(async () => {
  await log.close();
});

/** What an auditor does with an export: bytes in order, nothing else. */
function audit(entries: readonly Buffer[]): { faults: string[]; summary: string } {
  const check = new SourceCheck();
  entries.forEach((bytes, index) => check.add(index, bytes));
  return { faults: check.finish().map(({ detail }) => detail), summary: check.summary() };
}
const bytesOfLog = async () => (await readLog(log.database)).map(({ entry }) => entry);
const identityEvent = () => makeEvent('identity.account.created.v1');

describe('the record of sources', () => {
  test('accounts for every number of every source and epoch, also those that stand in quarantine or came twice', async () => {
    const twice = makeEvent();
    const rbac = (sequence: number, epoch?: string) => makeMessage(makeEvent(), sequence, epoch);
    await append.run([rbac(1), makeMessage(identityEvent(), 1), makeMessage(twice, 2), rbac(3)]);
    await record.run(1);
    const at = { source: 'rbac', epoch: testEpoch, sequence: '4' };
    await append.run([
      rawMessage('evt.rbac.role.created.v1', Buffer.from('no event'), at),
      rawMessage('evt.rbac.role.created.v1', Buffer.from('no number'), { ...at, sequence: '' }),
      rbac(5),
      // A new epoch begins with an event that the log has already.
      makeMessage(twice, 1, 'epoch-2'),
      rbac(2, 'epoch-2'),
      makeMessage(identityEvent(), 2),
    ]);
    await record.run(1);
    await append.run([rbac(6)]);
    const { faults, summary } = audit(await bytesOfLog());
    expect(faults).toEqual([]);
    expect(summary).toBe(
      'no number of a source is missing: rbac 1 to 5, identity 1 to 2, rbac 1 to 2 (1 newer entries not recorded yet)',
    );
    expect(await verifyStoredLog(log.database)).toBe(12);
    expect((await new CheckLogCommand({ database: log.database, log: new StoredLogStore() }).run()).faults).toEqual([]);
  });

  test('is written once for what there is, and not for itself', async () => {
    await append.run([makeMessage(makeEvent(), 1)]);
    expect(await record.run(2)).toBeUndefined();
    expect(await record.run(1)).toBe(1);
    expect(await record.run(1)).toBeUndefined();
    await append.run([makeMessage(makeEvent(), 2)]);
    expect(await record.run(1)).toBe(3);
  });

  test('fits into an entry when no two neighbours are of one source, and goes on where it ended', async () => {
    for (let first = 1; first <= 1_000; first += 250) {
      await append.run(
        Array.from({ length: 250 }, (_, i) => [
          makeMessage(makeEvent(), first + i),
          makeMessage(identityEvent(), first + i),
        ]).flat(),
      );
    }
    expect(await record.run(1)).toBe(2_000);
    expect(await record.run(1)).toBe(2_001);
    const entries = await bytesOfLog();
    expect(Math.max(...entries.map(({ length }) => length))).toBeLessThan(60_000);
    expect(audit(entries)).toEqual({
      faults: [],
      summary:
        'no number of a source is missing: rbac 1 to 1000, identity 1 to 1000 (0 newer entries not recorded yet)',
    });
  });

  test('is refused when a number is missing: a log that broke its rule does not say the contrary', async () => {
    await append.run([1, 2, 3].map((sequence) => makeMessage(makeEvent(), sequence)));
    const owner = new pg.Client(log.server.superuserUrl);
    await owner.connect();
    await owner.query(`SET search_path = audit; ALTER TABLE event DISABLE TRIGGER no_change;
      ALTER TABLE event_p0 DISABLE TRIGGER no_change; UPDATE event SET source_seq = 4 WHERE source_seq = 3`);
    await owner.end();
    await expect(record.run(1)).rejects.toThrow();
    expect(await bytesOfLog()).toHaveLength(3);
  });
});

describe('an auditor with the bytes alone', () => {
  /** A log that its operator wrote anew, hashes and all: only its own account of the sources is left to contradict it. */
  async function logWith(change: (entries: Record<string, unknown>[]) => void): Promise<string[]> {
    await append.run([1, 2, 3].map((sequence) => makeMessage(makeEvent(), sequence)));
    await append.run([makeMessage(identityEvent(), 1)]);
    await record.run(1);
    const entries = (await bytesOfLog()).map((bytes) => JSON.parse(bytes.toString()) as Record<string, unknown>);
    change(entries);
    return audit(entries.map((entry) => entryBytes(entry as never))).faults;
  }
  const after = (entry: Record<string, unknown> | undefined) =>
    (entry?.['change'] as { after: { from: number; sources: { sequence: number; entries: number[][] }[] } }).after;

  test.each<[string, (entries: Record<string, unknown>[]) => void, RegExp | undefined]>([
    ['nothing: the control', () => undefined, undefined],
    ['an entry taken out', (entries) => entries.splice(1, 1), /not from 0|not one of it/],
    [
      'an entry replaced by one of another source',
      (entries) => (entries[1] = identityEvent()),
      /gives a number of rbac to entry 1/,
    ],
    [
      'an entry that a record leaves out',
      (entries) => {
        for (const source of after(entries[4]).sources.filter(({ sequence }) => sequence === 1))
          source.entries.length = source.sequence = 0;
      },
      /leaves out entry 3/,
    ],
    [
      'an entry that a record steps over',
      (entries) => after(entries[4]).sources[0]?.entries.splice(0, 1, [0, 2]),
      /without an entry/,
    ],
    [
      'a number too many',
      (entries) => after(entries[4]).sources.forEach((source) => source.sequence++),
      /names 1 numbers/,
    ],
    [
      'numbers that go back',
      (entries) => after(entries[4]).sources[0]?.entries.splice(0, 1, [1, 2], [0, 1]),
      /against the order of the entries 0 and 2/,
    ],
    ['a record that begins later', (entries) => (after(entries[4]).from = 1), /not from 0 on/],
  ])('finds %s', async (_what, change, fault) => {
    const faults = await logWith(change);
    if (fault === undefined) expect(faults).toEqual([]);
    else expect(faults.join('\n')).toMatch(fault);
  });
});
