import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '@prime-nest/kit/clock';
import { freshContext } from '@prime-nest/kit/context';
import { newId } from '@prime-nest/kit/ids';
import { createOutbox } from '@prime-nest/kit/outbox/outbox';
import { makeEvent, makeMessage, openTestLog, readLog, testEpoch } from '../../test/harness.js';
import { connectSuperuser } from '../../test/superuser.js';
import { AppendCommand } from '../log/append.command.js';
import {
  formatVerifierKey,
  isSignedBy,
  parseCheckpoint,
  parseVerifierKey,
  signCheckpoint,
  verifierKeyOf,
} from '@prime-nest/kit/tlog/checkpoint';
import { LogStore } from '../log/log.store.js';
import { verifyConsistency, verifyInclusion } from '@prime-nest/kit/tlog/proof';
import { CompactRange, leafHash } from '@prime-nest/kit/tlog/tree';
import { EntryStore } from '../search/entry.store.js';
import { ExportEventsCommand } from '../search/export-events.command.js';
import { GetEventCommand } from '../search/get-event.command.js';
import { CheckpointStore } from './checkpoint.store.js';
import { ProofsCommand } from './proofs.command.js';
import { ReceiptCommand } from './receipt.command.js';
import { SignCheckpointCommand } from './sign-checkpoint.command.js';
import { SignedStateStore } from './signed-state.store.js';
import { TreeStore } from './tree.store.js';

let log: Awaited<ReturnType<typeof openTestLog>>;
let sign: SignCheckpointCommand;
let proofs: ProofsCommand;
let exportEvents: ExportEventsCommand;
let sequence: number;

const context = freshContext({ type: 'user', id: newId() });
const key = { origin: 'example.org/log', privateKey: generateKeyPairSync('ed25519').privateKey };
const verifierKey = formatVerifierKey(verifierKeyOf(key.origin, key.privateKey));

beforeEach(async () => {
  log = await openTestLog();
  sequence = 0;
  sign = signer();
  const outbox = anyOutbox;
  const parts = {
    database: log.database,
    entries: new EntryStore(),
    checkpoints: new CheckpointStore(),
    tree: new TreeStore(),
    outbox,
    verifierKey,
  };
  proofs = new ProofsCommand(parts);
  exportEvents = new ExportEventsCommand(parts);
});
afterEach(async () => {
  await log.close();
});

/** A signer that has just started and remembers nothing. */
function signer(file?: string, privateKey = key.privateKey): SignCheckpointCommand {
  return new SignCheckpointCommand({
    database: log.database,
    log: new LogStore(),
    entries: new EntryStore(),
    checkpoints: new CheckpointStore(),
    signed: new SignedStateStore(file),
    key: { ...key, privateKey },
    clock: systemClock,
  });
}

async function record(count: number): Promise<void> {
  const append = new AppendCommand({ database: log.database, log: new LogStore(), clock: systemClock, newId });
  await append.run(Array.from({ length: count }, () => makeMessage(makeEvent(), ++sequence)));
}

/** As a superuser who has switched the triggers off. */
async function tamper(sql: string): Promise<void> {
  const client = await connectSuperuser(log.server);
  await client.query(sql);
  await client.end();
}

const anyOutbox = createOutbox({ service: 'audit', clock: systemClock });
const bytes = (base64: string) => Buffer.from(base64, 'base64');

describe('proofs', () => {
  test('every entry of a log over several tiles is proved against a signed checkpoint', async () => {
    await record(700);
    await sign.run();
    const rows = await readLog(log.database);
    for (const row of [0, 1, 255, 256, 511, 512, 600, 698, 699].map((i) => rows[i])) {
      const answer = await proofs.inclusion({ id: row?.eventId ?? '' }, context);
      const checkpoint = parseCheckpoint(answer.checkpoint);
      expect(isSignedBy(checkpoint, parseVerifierKey(verifierKey))).toBe(true);
      const claim = {
        index: BigInt(answer.index),
        size: checkpoint.size,
        root: checkpoint.root,
        leafHash: leafHash(bytes(answer.entry)),
        proof: answer.proof.map(bytes),
      };
      expect([row?.index, verifyInclusion(claim)]).toEqual([answer.index, true]);
      expect(verifyInclusion({ ...claim, index: claim.index ^ 1n })).toBe(false);
    }
  });

  test('every two checkpoints are proved consistent', async () => {
    const roots = new Map<number, Buffer>();
    for (const count of [1, 1, 5, 249, 1, 300, 43]) {
      await record(count);
      const outcome = await sign.run();
      if (!('signed' in outcome)) throw new Error(JSON.stringify(outcome));
      roots.set(outcome.signed.treeSize, outcome.signed.root);
    }
    const sizes = [...roots.keys()];
    for (const from of sizes) {
      for (const to of sizes.filter((size) => size >= from)) {
        const { proof } = await proofs.consistency({ from, to });
        const claim = {
          oldSize: BigInt(from),
          oldRoot: roots.get(from) ?? Buffer.alloc(0),
          size: BigInt(to),
          root: roots.get(to) ?? Buffer.alloc(0),
          proof: proof.map(bytes),
        };
        expect([from, to, verifyConsistency(claim)]).toEqual([from, to, true]);
      }
    }
    await expect(proofs.consistency({ from: 601 })).rejects.toMatchObject({ code: 'not_found' });
    await expect(proofs.consistency({ from: 5, to: 2 })).rejects.toMatchObject({ code: 'not_found' });
  });

  test('tiles hold the hashes of their level, up to the newest checkpoint and no further', async () => {
    await record(600);
    await sign.run();
    await record(50);
    const rows = await readLog(log.database);
    const full = bytes((await proofs.tile({ level: 0, index: 1, width: 256 })).data);
    expect(full.equals(Buffer.concat(rows.slice(256, 512).map((row) => row.leafHash)))).toBe(true);
    expect(bytes((await proofs.tile({ level: 0, index: 2, width: 88 })).data)).toHaveLength(88 * 32);
    expect(bytes((await proofs.tile({ level: 1, index: 0, width: 2 })).data)).toHaveLength(64);
    for (const beyond of [
      { level: 0, index: 2, width: 89 },
      { level: 1, index: 0, width: 3 },
      { level: 2, index: 0, width: 1 },
    ]) {
      await expect(proofs.tile(beyond)).rejects.toMatchObject({ code: 'not_found' });
    }
  });

  test('an event that is not signed yet waits for its checkpoint', async () => {
    await record(1);
    const [row] = await readLog(log.database);
    const waiting = proofs.inclusion({ id: row?.eventId ?? '' }, context);
    await sign.run();
    await expect(waiting).resolves.toMatchObject({ index: 0, treeSize: 1, proof: [] });
    await expect(proofs.inclusion({ id: newId() }, context)).rejects.toMatchObject({ code: 'not_found' });
  });

  test('an entry is not passed off as another one by the id of its row', async () => {
    await record(2);
    await sign.run();
    const [first, second] = await readLog(log.database);
    const get = new GetEventCommand({ database: log.database, entries: new EntryStore(), outbox: anyOutbox });
    const id = first?.eventId ?? '';
    expect(await get.run({ id: id.toUpperCase() }, context)).toMatchObject({ id });
    await tamper(`UPDATE event SET event_id = gen_random_uuid() WHERE log_index = 0;
      UPDATE event SET event_id = '${id}' WHERE event_id = '${second?.eventId ?? ''}'`);
    await expect(get.run({ id }, context)).rejects.toMatchObject({ code: 'internal' });
    await expect(proofs.inclusion({ id }, context)).rejects.toMatchObject({ code: 'internal' });
  });

  test('a receipt tells how far a source has been taken', async () => {
    const receipt = new ReceiptCommand({ database: log.database, checkpoints: new CheckpointStore() });
    await record(3);
    expect(await receipt.run({ source: 'rbac', epoch: testEpoch })).toEqual({ sequence: 3, checkpoint: null });
    expect(await receipt.run({ source: 'rbac', epoch: 'another' })).toMatchObject({ sequence: 0 });
  });
});

describe('the signer', () => {
  test('signs each size once, also when two sign at once', async () => {
    await record(3);
    const outcomes = await Promise.all([signer().run(), signer().run(), signer().run()]);
    expect(outcomes.filter((outcome) => 'signed' in outcome)).toHaveLength(1);
    expect(await sign.run()).toEqual({ unchanged: true });
  });

  test.each([
    ['an edited entry', "UPDATE event SET entry = 'x' WHERE log_index = 7", 'entry_is_not_what_was_hashed', 7],
    [
      'an edited entry with a matching hash',
      "UPDATE event SET entry = 'x', leaf_hash = sha256('\\x0078') WHERE log_index = 7",
      'root_is_not_that_of_the_entries',
      undefined,
    ],
    ['a deleted entry', 'DELETE FROM event WHERE log_index = 8', 'entry_is_missing', 8],
    ['a cut tail', 'DELETE FROM event WHERE log_index >= 9', 'entry_is_missing', 9],
    [
      'two swapped entries',
      'UPDATE event SET log_index = 15 - log_index + 1000 WHERE log_index IN (7, 8); UPDATE event SET log_index = log_index - 1000 WHERE log_index >= 1000',
      'root_is_not_that_of_the_entries',
      undefined,
    ],
    [
      'a shorter log',
      'DELETE FROM event WHERE log_index >= 3; UPDATE log_state SET tree_size = 3',
      'log_is_shorter_than_signed',
      undefined,
    ],
    ['a forged checkpoint', "UPDATE checkpoint SET root = sha256('')", 'signed_checkpoint_was_altered', undefined],
    ['a removed checkpoint', 'DELETE FROM checkpoint', 'log_is_shorter_than_signed', undefined],
  ])('refuses a log with %s', async (_name, sql, reason, index) => {
    await record(5);
    expect(await sign.run()).toHaveProperty('signed');
    await record(5);
    await tamper(sql);
    expect(await sign.run()).toEqual({
      refused: { reason, signedSize: 5, treeSize: expect.any(Number), ...(index === undefined ? {} : { index }) },
    });
  });

  test.each([
    ['that goes on', true],
    ['that has just started', false],
  ])('%s grows only from what its own key has signed', async (_name, isSame) => {
    await record(5);
    await sign.run();
    await record(5);
    // Somebody edits an old entry, makes hashes and state fit, and puts in a checkpoint to grow from.
    const forged = CompactRange.empty();
    const forgery = generateKeyPairSync('ed25519').privateKey;
    const entry = Buffer.from('x');
    for (const row of await readLog(log.database)) {
      forged.append(row.index === 2 ? leafHash(entry) : row.leafHash);
      if (row.index !== 7) continue;
      const note = signCheckpoint({ origin: key.origin, size: 8n, root: forged.root() }, forgery);
      const made = { treeSize: 8, root: forged.root(), frontier: forged.toBytes(), note, signedAt: new Date() };
      await log.database.transaction((tx) => new CheckpointStore().insert(tx, made));
    }
    await tamper(`UPDATE event SET entry = 'x', leaf_hash = '\\x${leafHash(entry).toString('hex')}' WHERE log_index = 2;
      UPDATE log_state SET root = '\\x${forged.root().toString('hex')}', frontier = '\\x${forged.toBytes().toString('hex')}'`);
    const outcome = await (isSame ? sign : signer()).run();
    expect(outcome).toMatchObject({ refused: { reason: 'signed_checkpoint_was_altered' } });
  });

  test('with a new key computes everything again before it signs', async () => {
    await record(5);
    await sign.run();
    const changed = () => signer(undefined, generateKeyPairSync('ed25519').privateKey).run();
    expect(await changed()).toEqual({ unchanged: true });
    await record(5);
    expect(await changed()).toMatchObject({ signed: { treeSize: 10 } });
    await record(1);
    await tamper("UPDATE event SET entry = 'x' WHERE log_index = 2");
    expect(await changed()).toMatchObject({ refused: { reason: 'entry_is_not_what_was_hashed', index: 2 } });
  });

  test('refuses a database that was set back while it was away, by the file that it keeps outside', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'audit-signer-'));
    const file = path.join(folder, 'signed');
    await record(5);
    await signer(file).run();
    await record(5);
    expect(await signer(file).run()).toHaveProperty('signed');
    await tamper(`DELETE FROM checkpoint WHERE tree_size > 5; DELETE FROM event WHERE log_index >= 5;
      UPDATE log_state SET tree_size = 5, root = c.root, frontier = c.frontier FROM checkpoint c`);
    expect(await signer().run()).toEqual({ unchanged: true });
    expect(await signer(file).run()).toEqual({
      refused: { reason: 'log_is_shorter_than_signed', signedSize: 10, treeSize: 5 },
    });
    rmSync(folder, { recursive: true });
  });
});

describe('the export', () => {
  test('is exactly the tree of its checkpoint, in order, while the log grows', async () => {
    await record(30);
    await sign.run();
    const lines: string[] = [];
    let cursor: string | null = null;
    let pages = 0;
    do {
      const page: Awaited<ReturnType<ExportEventsCommand['run']>> = await exportEvents.run(
        { limit: 12, ...(cursor === null ? {} : { cursor }) },
        context,
      );
      expect(parseCheckpoint(page.checkpoint).size).toBe(30n);
      lines.push(...page.data.map(({ entry }) => entry));
      await record(3);
      await sign.run();
      cursor = page.nextCursor;
      pages++;
    } while (cursor !== null);
    expect(pages).toBe(3);
    const rows = await readLog(log.database);
    expect(lines).toEqual(rows.slice(0, 30).map(({ entry }) => entry.toString()));
    const logged = await log.database.query<{ entry: Buffer }>(
      "SELECT entry FROM outbox WHERE type = 'audit.log.exported.v1' ORDER BY id",
    );
    expect(logged.map(({ entry }) => JSON.parse(entry.toString()) as unknown)).toMatchObject(
      [0, 12, 24].map((from) => ({ change: { after: { from, treeSize: 30 } } })),
    );
    await expect(exportEvents.run({ limit: 1, cursor: '0-999' }, context)).rejects.toMatchObject({
      code: 'validation_failed',
    });
  });
});
