import { createPublicKey, generateKeyPairSync, hash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { signedLog } from '@prime-nest/testkit/signed-log';
import { createTestDatabase } from '@prime-nest/testkit/postgres';
import type { TestDatabase } from '@prime-nest/testkit/postgres';
import pg from 'pg';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { systemClock } from '../clock.js';
import { serviceContext } from '../context.js';
import { openDatabase } from '../database.js';
import type { Database } from '../database.js';
import { silentLogger } from '../log.js';
import { Secret } from '../secret.js';
import { createOutbox } from './outbox.js';
import { createOutboxTables } from './outbox-migration.js';
import { addOutboxProofs } from './proof-migration.js';
import { pruneProven } from './proven-prune.js';
import type { ReceiptProof } from './receipt-proof.js';
import { addOutboxReceipts } from './receipt-migration.js';

class Outbox1700000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [createOutboxTables, addOutboxReceipts, addOutboxProofs]) await runner.query(sql('rbac'));
  }
  async down(): Promise<void> {}
}

const outbox = createOutbox({ service: 'rbac', clock: systemClock });
const key = generateKeyPairSync('ed25519').privateKey;
const keys = [createPublicKey(key)];
const logOf = (held: readonly Buffer[], over: Partial<ReceiptProof> = {}, signer = key) =>
  signedLog(held, { signer, over });
const foreign = Buffer.from('{"of":"another source"}');
let server: TestDatabase;
let database: Database;
let owner: pg.Client;

// 300 events, published, receipted and old enough; the log holds them among those of others.
beforeEach(async () => {
  server = await createTestDatabase({ service: 'rbac', migrations: [Outbox1700000000000] });
  database = await openDatabase({
    url: new Secret(server.url),
    schema: 'rbac',
    entities: [],
    ssl: false,
    poolMax: 3,
    log: silentLogger(),
    applicationName: 'kit-proofs',
  });
  owner = new pg.Client(server.ownerUrl);
  await owner.connect();
  await owner.query('SET search_path = rbac');
  await database.transaction(async (tx) => {
    for (let i = 0; i < 300; i++) await outbox.append(tx, { type: 'rbac.role.created.v1' }, serviceContext('rbac'));
  });
  await owner.query(`UPDATE outbox SET created_at = now() - interval '4 days';
    UPDATE relay_state SET (last_xid, last_id, receipt_xid, receipt_id) =
      (SELECT xid, id, xid, id FROM outbox ORDER BY xid DESC, id DESC LIMIT 1)`);
});
afterEach(async () => {
  await owner.end();
  await database.close();
  await server.drop();
});

const left = async () => Number((await database.query<{ n: string }>('SELECT count(*) AS n FROM outbox'))[0]?.n);
const entries = async () =>
  (await database.query<{ entry: Buffer }>('SELECT entry FROM outbox ORDER BY xid, id')).map(({ entry }) => entry);
/** Every third entry is somebody else's. */
const mixed = (own: readonly Buffer[]) => own.flatMap((entry, i) => (i % 2 === 0 ? [entry] : [entry, foreign]));

const prune = (ask: ReturnType<typeof logOf>) => pruneProven(database, 'rbac', { ask, keys });

describe('an outbox forgets', () => {
  test('what the signed log proves to have, and nothing behind it', async () => {
    const own = await entries();
    expect(await prune(logOf(mixed(own.slice(0, 100))))).toEqual({ pruned: 100 });
    expect(await left()).toBe(200);
    expect(await prune(logOf(mixed(own)))).toEqual({ pruned: 200 });
    expect(await left()).toBe(0);
  });

  test('what the log has in quarantine, when the entry that says so is in it', async () => {
    const [poison = foreign, ...others] = await entries();
    const said = (sha256: string) =>
      Buffer.from(JSON.stringify({ type: 'audit.event.quarantined.v1', change: { after: { sha256 } } }));
    const [isIn, other] = [said(hash('sha256', poison, 'hex')), said('0'.repeat(64))];
    const log = logOf([isIn, other, ...others]);
    const { tiles } = await log({ events: [{ id: '0'.repeat(64) }] });
    const about = (index: number, entry: Buffer) =>
      logOf([isIn, other, ...others], { entries: [{ index, entry: entry.toString('base64') }], tiles });
    expect(await prune(about(1, other))).toEqual({ fault: 'another_entry' });
    expect(await prune(about(1, isIn))).toEqual({ fault: 'another_entry' });
    expect(await prune(about(0, isIn))).toEqual({ pruned: 1 });
  });

  test.each<[string, string, (own: Buffer[]) => ReturnType<typeof logOf>]>([
    [
      'a log that names other entries',
      'another_entry',
      (own) => logOf([...own].reverse(), { entries: [{ index: 0 }] }),
    ],
    [
      'hashes that the signed tree does not have',
      'hashes_not_in_tree',
      (own) => {
        const forged = logOf(own.slice(0, 200));
        const honest = logOf([foreign, foreign]);
        return (request) =>
          Promise.all([forged(request), honest(request)]).then(([proof, { checkpoint }]) => ({ ...proof, checkpoint }));
      },
    ],
    ['a log signed by another key', 'not_signed', (own) => logOf(own, {}, generateKeyPairSync('ed25519').privateKey)],
    ['no checkpoint at all', 'malformed', (own) => logOf(own, { checkpoint: 'trust me\n' })],
  ])('nothing on the word of %s', async (_name, fault, lie) => {
    expect(await prune(lie(await entries()))).toEqual({ fault });
    expect(await left()).toBe(300);
  });

  test('nothing on the word of a log that was set back or rewritten since it was shown', async () => {
    const own = await entries();
    await prune(logOf(own.slice(0, 40)));
    const rest = own.slice(40);
    expect(await prune(logOf(own.slice(0, 39)))).toEqual({ fault: 'shorter_than_shown' });
    expect(await prune(logOf([foreign, ...own.slice(1)]))).toEqual({ fault: 'rewritten' });
    expect(await left()).toBe(rest.length);
    // The control: the same log, longer.
    expect(await prune(logOf(own))).toEqual({ pruned: 256 });
  });

  // What docs/en/operations.md advises after a restore of the log alone, with the service's own rights.
  test('what another log proves, once an operator has put away the checkpoint of the one before', async () => {
    const own = await entries();
    await prune(logOf(own.slice(0, 40)));
    const restored = logOf([foreign, ...own.slice(30)]);
    expect(await prune(restored)).toEqual({ fault: 'rewritten' });
    await database.query('UPDATE rbac.relay_state SET proven_checkpoint = NULL');
    expect(await prune(restored)).toEqual({ pruned: 256 });
  });

  test('nothing that is younger than three days, however well it is proven', async () => {
    const own = await entries();
    await owner.query('UPDATE outbox SET created_at = now() WHERE id > (SELECT min(id) + 9 FROM outbox)');
    expect(await prune(logOf(own))).toEqual({ pruned: 10 });
    await database.query("SELECT prune_outbox_to('9223372036854775807', 9223372036854775807)");
    expect(await left()).toBe(290);
  });
});
