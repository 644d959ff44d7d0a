import { createPublicKey, generateKeyPairSync, hash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '@prime-nest/kit/clock';
import { newId } from '@prime-nest/kit/ids';
import { judgeProof } from '@prime-nest/kit/outbox/receipt-proof';
import { makeEvent, makeMessage, openTestLog, rawMessage, testEpoch } from '../../test/harness.js';
import { AppendCommand } from '../log/append.command.js';
import { entryBytes } from '../log/entry.js';
import { LogStore } from '../log/log.store.js';
import { EntryStore } from '../search/entry.store.js';
import { CheckpointStore } from './checkpoint.store.js';
import { ProveReceiptCommand } from './prove-receipt.command.js';
import { SignCheckpointCommand } from './sign-checkpoint.command.js';
import { SignedStateStore } from './signed-state.store.js';
import { TreeStore } from './tree.store.js';

const key = { origin: 'example.org/log', privateKey: generateKeyPairSync('ed25519').privateKey };
const keys = [createPublicKey(key.privateKey)];
const [signedEvents, unsignedEvent] = [Array.from({ length: 700 }, () => makeEvent()), makeEvent()];
const poison = Buffer.from('{"not":"an event"}');
let log: Awaited<ReturnType<typeof openTestLog>>;
let sign: SignCheckpointCommand;
let append: AppendCommand;

beforeAll(async () => {
  log = await openTestLog();
  const [database, clock, store] = [log.database, systemClock, new LogStore()];
  append = new AppendCommand({ database, log: store, clock, newId });
  const [entries, checkpoints, signed] = [new EntryStore(), new CheckpointStore(), new SignedStateStore(undefined)];
  sign = new SignCheckpointCommand({ database, log: store, entries, checkpoints, signed, key, clock });
  const place = { source: 'rbac', epoch: testEpoch, sequence: '701' };
  await append.run(signedEvents.slice(0, 300).map((event, i) => makeMessage(event, i + 1)));
  await sign.run();
  await append.run(signedEvents.slice(300).map((event, i) => makeMessage(event, i + 301)));
  await append.run([rawMessage('evt.rbac.role.created.v1', poison, place)]);
  await sign.run();
  await append.run([makeMessage(unsignedEvent, 702)]);
});
afterAll(() => log.close());

async function prove(events: readonly Buffer[], ids: readonly string[], kept?: string) {
  const parts = { entries: new EntryStore(), tree: new TreeStore(), checkpoints: new CheckpointStore() };
  const asked = events.map((bytes, i) => ({ id: ids[i] ?? newId(), sha256: hash('sha256', bytes, 'hex') }));
  const command = new ProveReceiptCommand({ database: log.database, ...parts });
  const proof = await command.run({ events: asked, ...(kept === undefined ? {} : { since: 300 }) });
  return { proof, verdict: judgeProof({ events, proof, keys, kept }) };
}

describe('the log proves to a source', () => {
  test.each([[0], [200], [300], [444]])(
    '256 events from %i on, over tiles that are full and one that is not',
    async (from) => {
      const part = signedEvents.slice(from, from + 256);
      const { verdict } = await prove(
        part.map((event) => entryBytes(event)),
        part.map(({ id }) => id),
      );
      expect(verdict).toEqual({ proven: part.length });
    },
  );

  test('what is in quarantine by the entry that says so, and nothing that is not signed yet', async () => {
    const all = [...signedEvents.slice(690), unsignedEvent];
    const ids = all.map(({ id }) => id);
    const bytes = all.map((event) => entryBytes(event));
    const { proof, verdict } = await prove([poison, ...bytes], [newId(), ...ids]);
    expect(verdict).toEqual({ proven: 11 });
    expect(proof.entries[0]).toMatchObject({ index: 700 });
    expect((await prove([entryBytes(makeEvent())], [newId()])).verdict).toEqual({ proven: 0 });
  });

  test('that it begins with what it has shown before', async () => {
    const [row] = await log.database.query<{ note: string }>('SELECT note FROM checkpoint WHERE tree_size = 300');
    const [event] = signedEvents.slice(5, 6).map((one) => entryBytes(one));
    if (row === undefined || event === undefined) throw new Error('no checkpoint');
    const { proof, verdict } = await prove([event], [signedEvents[5]?.id ?? ''], row.note);
    expect(verdict).toEqual({ proven: 1 });
    const rewritten = { ...proof, consistency: proof.consistency.slice(1) };
    expect(judgeProof({ events: [event], proof: rewritten, keys, kept: row.note })).toEqual({ fault: 'rewritten' });
  });
});
