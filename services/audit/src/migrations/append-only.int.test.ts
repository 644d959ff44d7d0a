import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '@prime-nest/kit/clock';
import { newId } from '@prime-nest/kit/ids';
import pg from 'pg';
import { makeEvent, makeMessage, openTestLog, rawMessage, testEpoch } from '../../test/harness.js';
import { AppendCommand } from '../log/append.command.js';
import { LogStore } from '../log/log.store.js';

let log: Awaited<ReturnType<typeof openTestLog>>;
let service: pg.Client;
let owner: pg.Client;

beforeAll(async () => {
  log = await openTestLog();
  const append = new AppendCommand({ database: log.database, log: new LogStore(), clock: systemClock, newId });
  const poison = rawMessage('evt.rbac.role.created.v1', Buffer.from('{'), {
    source: 'rbac',
    epoch: testEpoch,
    sequence: '2',
  });
  await append.run([makeMessage(makeEvent(), 1), poison]);
  [service, owner] = [new pg.Client(log.server.url), new pg.Client(log.server.ownerUrl)];
  await Promise.all([service.connect(), owner.connect()]);
  for (const client of [service, owner]) await client.query('SET search_path = audit');
});
afterAll(async () => {
  await Promise.all([service.end(), owner.end()]);
  await log.close();
});

/** SQLSTATE of the refusal, or what happened instead; nothing stays changed. */
async function attempt(client: pg.Client, sql: string): Promise<string> {
  await client.query('BEGIN');
  try {
    const { rowCount } = await client.query(sql);
    return `done, ${rowCount} rows`;
  } catch (error) {
    return error instanceof pg.DatabaseError ? (error.code ?? 'no code') : String(error);
  } finally {
    await client.query('ROLLBACK');
  }
}

const recorded = ['event', 'event_p0', 'quarantine', 'tree_node', 'leaf_run', 'checkpoint', 'outbox'];

describe('as the service, privileges refuse', () => {
  test.each(
    recorded.flatMap((table) => [
      [`DELETE FROM ${table}`],
      [`TRUNCATE ${table}`],
      [`DROP TABLE ${table}`],
      [`ALTER TABLE ${table} DISABLE TRIGGER ALL`],
      [`CREATE RULE r AS ON INSERT TO ${table} DO INSTEAD NOTHING`],
      [`CREATE TRIGGER t BEFORE INSERT ON ${table} EXECUTE FUNCTION refuse_change()`],
    ]),
  )('%s', async (sql) => {
    expect(await attempt(service, sql)).toBe('42501');
  });

  test.each([
    ['UPDATE event SET entry = entry'],
    ['UPDATE event_p0 SET leaf_hash = leaf_hash'],
    ['UPDATE quarantine SET raw = raw'],
    ['UPDATE tree_node SET hash = hash'],
    ['UPDATE leaf_run SET hashes = hashes'],
    ['UPDATE checkpoint SET note = note'],
    ['UPDATE outbox SET entry = entry'],
    ['INSERT INTO event_p0 SELECT * FROM event'],
    ['SELECT * FROM event FOR UPDATE'],
    ["INSERT INTO event SELECT * FROM event ON CONFLICT (log_index) DO UPDATE SET entry = 'x'"],
    ['MERGE INTO event e USING event o ON e.log_index = o.log_index WHEN MATCHED THEN DELETE'],
    ['ALTER TABLE event DETACH PARTITION event_p0'],
    ['ALTER TABLE event OWNER TO audit'],
    ['ALTER FUNCTION refuse_change() OWNER TO audit'],
    ['DROP SCHEMA audit CASCADE'],
    ['CREATE TABLE mine (x int)'],
    ["COPY event FROM PROGRAM 'true'"],
    ['SET session_replication_role = replica'],
    ['SET ROLE audit_owner'],
    ['GRANT UPDATE ON event TO audit'],
    ['UPDATE log_state SET partition_end = 0'],
    ['UPDATE log_state SET partition_rows = 256'],
    ['DELETE FROM log_state'],
    ['INSERT INTO log_state (id) VALUES (1)'],
    ['DELETE FROM source_state'],
    ["UPDATE source_state SET source = 'x'"],
  ])('%s', async (sql) => {
    const outcome = await attempt(service, sql);
    // A grant of what one does not hold is a warning without effect.
    if (sql.startsWith('GRANT')) {
      const { rows } = await service.query("SELECT has_table_privilege('audit', 'audit.event', 'UPDATE') AS held");
      expect(rows).toEqual([{ held: false }]);
    } else expect(outcome).toBe('42501');
  });

  test('and allow what the service does (the control)', async () => {
    expect(await attempt(service, 'SELECT entry FROM event')).toBe('done, 2 rows');
    expect(await attempt(service, 'UPDATE log_state SET tree_size = tree_size')).toBe('done, 1 rows');
    expect(await attempt(service, 'UPDATE source_state SET last_seq = last_seq')).toBe('done, 1 rows');
  });
});

describe('as the owner, triggers refuse', () => {
  test.each([
    ["UPDATE event SET entry = 'x'"],
    ["UPDATE event_p0 SET entry = 'x'"],
    ['DELETE FROM event'],
    ['DELETE FROM event_p0'],
    ['TRUNCATE event'],
    ['TRUNCATE event_p0'],
    ["UPDATE quarantine SET raw = 'x'"],
    ['DELETE FROM quarantine'],
    ['TRUNCATE quarantine'],
    ['TRUNCATE tree_node'],
    ['UPDATE leaf_run SET hashes = hashes'],
    ['DELETE FROM leaf_run'],
    ['TRUNCATE leaf_run'],
    ['TRUNCATE checkpoint'],
  ])('%s', async (sql) => {
    expect(await attempt(owner, sql)).toBe('42501');
  });

  test('also when ordinary triggers are switched off', async () => {
    const superuser = new pg.Client(log.server.superuserUrl);
    await superuser.connect();
    await superuser.query('SET search_path = audit; SET session_replication_role = replica');
    expect(await attempt(superuser, "UPDATE event SET entry = 'x'")).toBe('42501');
    expect(await attempt(superuser, 'TRUNCATE event_p0')).toBe('42501');
    await superuser.end();
  });

  test('on every partition, also on those to come', async () => {
    await owner.query('UPDATE log_state SET tree_size = tree_size + 2 * partition_rows');
    await service.query('SELECT add_event_partition()');
    const { rows } = await owner.query(
      `SELECT c.relname, t.tgname, t.tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relname ~ '^event_p[0-9]+$' ORDER BY 1, 2`,
    );
    const names = ['event_p0', 'event_p1048576'];
    expect(rows).toEqual(
      names.flatMap((relname) => ['no_change', 'no_truncate'].map((tgname) => ({ relname, tgname, tgenabled: 'A' }))),
    );
    await owner.query('UPDATE log_state SET tree_size = 2');
  });
});

test('the service cannot run up partitions: only two lie ahead of the log', async () => {
  const ends = [];
  for (let i = 0; i < 4; i++)
    ends.push((await service.query<{ end: string }>('SELECT add_event_partition() AS end')).rows[0]?.end);
  expect(new Set(ends).size).toBeLessThanOrEqual(2);
  const { rows } = await service.query<{ partition_end: string }>('SELECT partition_end FROM log_state');
  expect(Number(rows[0]?.partition_end)).toBeLessThanOrEqual(4 * 1_048_576);
});
