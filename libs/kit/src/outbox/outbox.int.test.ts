import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import { AuditEvent, eventDepthMax, isDeeperThan } from '@prime-nest/contracts/events';
import { createTestDatabase } from '@prime-nest/testkit/postgres';
import type { TestDatabase } from '@prime-nest/testkit/postgres';
import canonicalize from 'canonicalize';
import pg from 'pg';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { fixedClock } from '../clock.js';
import { serviceContext } from '../context.js';
import { openDatabase } from '../database.js';
import type { Database, Tx } from '../database.js';
import { silentLogger } from '../log.js';
import { Secret } from '../secret.js';
import { createOutbox } from './outbox.js';
import { createOutboxTables } from './outbox-migration.js';
import { addOutboxReceipts } from './receipt-migration.js';

class Outbox1700000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(createOutboxTables('rbac'));
    await runner.query(addOutboxReceipts('rbac'));
  }
  async down(): Promise<void> {}
}

const now = new Date('2026-01-02T03:04:05.678Z');
const outbox = createOutbox({ service: 'rbac', clock: fixedClock(now) });
const context: CallContext = {
  ...serviceContext('rbac'),
  actor: { type: 'user', id: '01900000-0000-7000-8000-000000000007' },
  ip: '192.0.2.7',
  userAgent: 'agent \ud800',
};
let server: TestDatabase;
let database: Database;

beforeAll(async () => {
  server = await createTestDatabase({ service: 'rbac', migrations: [Outbox1700000000000] });
  database = await openDatabase({
    url: new Secret(server.url),
    schema: 'rbac',
    entities: [],
    ssl: false,
    poolMax: 3,
    log: silentLogger(),
    applicationName: 'kit-outbox',
  });
});
afterAll(async () => {
  await database.close();
  await server.drop();
});

async function stored(): Promise<AuditEvent[]> {
  const rows = await database.query<{ entry: Buffer }>('SELECT entry FROM outbox ORDER BY id');
  return rows.map(({ entry }) => {
    const text = entry.toString('utf8');
    const event = AuditEvent.parse(JSON.parse(text));
    // RFC 8785: the stored bytes are the canonical form of what they say.
    expect(text).toBe(canonicalize(event));
    return event;
  });
}

describe('an appended event', () => {
  test('exists exactly when its transaction committed, complete and canonical', async () => {
    const wakes: string[] = [];
    outbox.onCommitted(() => wakes.push('wake'));
    const draft = {
      type: 'rbac.role.created.v1',
      resourceId: 'r1',
      change: { after: { name: 'Zoë', at: now, gone: undefined } },
    } as const;
    await database.transaction(async (tx) => {
      await outbox.append(tx, draft, context);
      await outbox.append(tx, draft, context);
      expect(wakes).toEqual([]);
    });
    await database
      .transaction(async (tx) => {
        await outbox.append(tx, draft, context);
        throw new Error('rolled back');
      })
      .catch(() => undefined);
    const events = await stored();
    expect(events).toHaveLength(2);
    expect(wakes).toEqual(['wake']);
    expect(events[0]).toMatchObject({
      source: 'rbac',
      type: 'rbac.role.created.v1',
      occurredAt: '2026-01-02T03:04:05.678Z',
      actor: context.actor,
      action: 'role.create',
      resource: { type: 'role', id: 'r1' },
      outcome: 'success',
      change: { after: { name: 'Zoë', at: '2026-01-02T03:04:05.678Z' } },
      correlationId: context.correlationId,
      traceId: context.trace.traceId,
      spanId: context.trace.spanId,
      ip: '192.0.2.7',
    });
    const [row] = await database.query<{ correlation_id: string; traceparent: string }>(
      'SELECT correlation_id, traceparent FROM outbox LIMIT 1',
    );
    expect(row?.correlation_id).toBe(context.correlationId);
    // The position of the append itself, in the same trace: what follows hangs below it.
    expect(row?.traceparent).toMatch(
      new RegExp(`^00-${context.trace.traceId}-(?!${context.trace.spanId})[0-9a-f]{16}-00$`),
    );
  });

  test('never carries a credential, and replaces a change that is too large by its digest', async () => {
    const canary = 'canary-77aa';
    const after = {
      password: canary,
      nested: [{ refreshTokenHash: canary }],
      wrapped: new Secret(canary),
      url: `postgres://u:${canary}@h/d`,
      big: 'x'.repeat(70_000),
    };
    await database.transaction((tx) =>
      outbox.append(tx, { type: 'rbac.role.updated.v1', change: { after: { ...after, big: '' } } }, context),
    );
    await database.transaction((tx) => outbox.append(tx, { type: 'rbac.role.updated.v1', change: { after } }, context));
    const [small, large] = (await stored()).slice(-2);
    expect(JSON.stringify(small)).not.toContain(canary);
    expect(small?.change).toHaveProperty('after.password', '[redacted]');
    expect(large?.change).toEqual({
      after: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/), size: expect.any(Number) },
    });
  });

  test('replaces a change that is nested deeper than the log takes by its digest, and keeps the deepest that it takes', async () => {
    const nested = (depth: number): unknown => (depth === 0 ? 'end' : { in: nested(depth - 1) });
    // The event, its change and the field before are levels, too.
    for (const depth of [eventDepthMax - 2, eventDepthMax - 1, 2_000]) {
      const change = { after: nested(depth) };
      await database.transaction((tx) => outbox.append(tx, { type: 'rbac.role.updated.v1', change }, context));
    }
    const [deepest, deeper, absurd] = (await stored()).slice(-3);
    expect(deepest?.change).toEqual({ after: nested(eventDepthMax - 2) });
    expect([deepest, deeper, absurd].map((event) => isDeeperThan(event, eventDepthMax))).toEqual([false, false, false]);
    for (const event of [deeper, absurd])
      expect(event?.change).toEqual({
        after: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/), size: expect.any(Number) },
      });
  });

  test('is refused for another service, and without an open transaction', async () => {
    const before = (await stored()).length;
    const foreign = database.transaction((tx) => outbox.append(tx, { type: 'identity.account.created.v1' }, context));
    await expect(foreign).rejects.toThrow(AppError);
    let dead: Tx | undefined;
    await database.transaction((tx) => {
      dead = tx;
      return Promise.resolve();
    });
    await expect(outbox.append(dead as Tx, { type: 'rbac.role.created.v1' }, context)).rejects.toThrow(AppError);
    await expect(outbox.append(database as unknown as Tx, { type: 'rbac.role.created.v1' }, context)).rejects.toThrow(
      AppError,
    );
    expect(await stored()).toHaveLength(before);
  });
});

describe('the service role', () => {
  test.each([
    ['change an entry', `UPDATE outbox SET entry = 'x'`],
    ['remove an entry', 'DELETE FROM outbox'],
    ['empty the outbox', 'TRUNCATE outbox'],
    [
      'choose a position',
      `INSERT INTO outbox (xid, event_id, type, entry, correlation_id, traceparent) VALUES ('1', gen_random_uuid(), 'x', 'x', 'x', 'x')`,
    ],
    ['start a new numbering', 'UPDATE relay_state SET epoch = gen_random_uuid()'],
    ['forget a numbering', 'DELETE FROM relay_state'],
  ])('may not %s', async (_what, sql) => {
    const error: unknown = await database.query(sql).catch((reason: unknown) => reason);
    expect(error).toHaveProperty('code', '42501');
  });

  test('is not simply locked out: the owner may do what it may not', async () => {
    const owner = new pg.Client({ connectionString: server.ownerUrl, options: '-c search_path=rbac' });
    await owner.connect();
    await owner.query('BEGIN; DELETE FROM outbox; ROLLBACK');
    await owner.end();
  });
});

describe('an event written with its mutation in one statement', () => {
  const draft = { type: 'rbac.role.created.v1', resourceId: 'r9' } as const;
  const insert = (rows: number) => ({
    mutation: { name: `thing.insert.${rows}`, text: `SELECT $1::int + i AS id FROM generate_series(1, ${rows}) i` },
    params: [40],
    draft,
  });
  const count = async () => (await database.query('SELECT 1 FROM outbox')).length;

  test('is there when a row was changed, and not when none was', async () => {
    const before = await count();
    const changes = await database.transaction(async (tx) => [
      await outbox.appendWith<{ id: number }>(tx, insert(1), context),
      await outbox.appendWith(tx, insert(0), context),
      await outbox.appendWith<{ id: number }>(tx, insert(1), context),
    ]);
    expect(changes).toEqual([{ id: 41 }, undefined, { id: 41 }]);
    expect(await count()).toBe(before + 2);
    await stored();
  });

  test('takes a consequence along, which is told of in the row and happens with the mutation only', async () => {
    const consequence = {
      expressions: 'double AS (SELECT id * $2::int AS value FROM mutation)',
      columns: '(SELECT value FROM double) AS doubled',
    };
    const change = (rows: number) => ({
      mutation: { ...insert(rows).mutation, name: `thing.consequence.${rows}` },
      consequence,
      params: [40, 2],
      draft,
    });
    const answers = await database.transaction(async (tx) => [
      await outbox.appendWith(tx, change(1), context),
      await outbox.appendWith(tx, change(0), context),
    ]);
    expect(answers).toEqual([{ id: 41, doubled: 82 }, undefined]);
    await stored();
  });

  test('of several rows is none: nothing of the transaction remains', async () => {
    const before = await count();
    await expect(database.transaction((tx) => outbox.appendWith(tx, insert(2), context))).rejects.toMatchObject({
      code: 'internal',
    });
    expect(await count()).toBe(before);
  });
});
