import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { AppError } from '@prime-nest/contracts/errors';
import { eventually } from '@prime-nest/testkit/eventually';
import { createTestDatabase } from '@prime-nest/testkit/postgres';
import type { TestDatabase } from '@prime-nest/testkit/postgres';
import pg from 'pg';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runInContext, serviceContext } from './context.js';
import { isForeignKeyViolation, isUniqueViolation, openDatabase, runMigrations, Tx } from './database.js';
import type { Database } from './database.js';
import { silentLogger } from './log.js';
import { Secret } from './secret.js';

class Init1700000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE thing (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, parent int REFERENCES thing);
      GRANT SELECT, INSERT, UPDATE, DELETE ON thing TO rbac`);
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE thing');
  }
}

const log = silentLogger();
let server: TestDatabase;
let database: Database;
let admin: pg.Client;

beforeAll(async () => {
  server = await createTestDatabase({ service: 'rbac' });
  const migrate = () =>
    runMigrations({
      url: new Secret(server.ownerUrl),
      schema: 'rbac',
      migrations: [Init1700000000000],
      ssl: false,
      log,
    });
  // Three at once: the lock lets one work.
  await Promise.all([migrate(), migrate(), migrate()]);
  database = await open(server.url);
  admin = new pg.Client({ connectionString: server.superuserUrl });
  await admin.connect();
});

afterAll(async () => {
  await database.close();
  await admin.end();
  await server.drop();
});

function open(url: string, poolMax = 4, startTimeoutMs = 0): Promise<Database> {
  return openDatabase({
    url: new Secret(url),
    schema: 'rbac',
    entities: [],
    ssl: false,
    poolMax,
    log,
    applicationName: 'kit-test',
    startTimeoutMs,
  });
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'ok';
  } catch (error) {
    return error instanceof AppError ? error.code : `raw ${String(error)}`;
  }
}

describe('migrations', () => {
  test('started three times at once are recorded once, in the schema itself', async () => {
    const rows = await admin.query('SELECT name FROM rbac.migration');
    expect(rows.rows).toEqual([{ name: 'Init1700000000000' }]);
  });
});

describe('a query', () => {
  test('answers rows for every kind of statement', async () => {
    expect(await database.query('INSERT INTO thing (id) VALUES (1), (2) RETURNING id')).toEqual([{ id: 1 }, { id: 2 }]);
    expect(await database.query('UPDATE thing SET n = n + $1 WHERE id = 1 RETURNING n', [5])).toEqual([{ n: 5 }]);
    expect(await database.query('UPDATE thing SET n = 0 WHERE id = 99')).toEqual([]);
    expect(await database.query('DELETE FROM thing WHERE id = 2 RETURNING id')).toEqual([{ id: 2 }]);
    expect(await database.query('SELECT id FROM thing WHERE id = 1')).toEqual([{ id: 1 }]);
  });

  test('that breaks a constraint is recognised by it', async () => {
    const duplicate = await database.query('INSERT INTO thing (id) VALUES (1)').catch((error: unknown) => error);
    expect(isUniqueViolation(duplicate)).toBe(true);
    expect(isUniqueViolation(duplicate, 'thing_pkey')).toBe(true);
    expect(isUniqueViolation(duplicate, 'other')).toBe(false);
    expect(
      isForeignKeyViolation(
        await database.query('INSERT INTO thing (id, parent) VALUES (3, 99)').catch((error: unknown) => error),
      ),
    ).toBe(true);
  });

  test('that takes longer than the statement timeout is unavailable, and the pool still works', async () => {
    expect(await codeOf(database.query("SET statement_timeout = '50ms'; SELECT pg_sleep(5)"))).toBe('unavailable');
    await database.ping();
  });
});

describe('a transaction', () => {
  test('commits what it returned from and leaves nothing of what it threw from', async () => {
    await database.transaction((tx) => tx.query('INSERT INTO thing (id) VALUES (10)'));
    await expect(
      database.transaction(async (tx) => {
        await tx.query('INSERT INTO thing (id) VALUES (11)');
        throw new RangeError('no');
      }),
    ).rejects.toThrow(RangeError);
    expect(await database.query('SELECT id FROM thing WHERE id IN (10, 11)')).toEqual([{ id: 10 }]);
  });

  test('handle is dead after its transaction, and one cannot be made by hand', async () => {
    let leaked: Tx | undefined;
    await database.transaction((tx) => {
      leaked = tx;
      return Promise.resolve();
    });
    expect(() => leaked?.query('SELECT 1')).toThrow(AppError);
    const forged = {
      query: () => Promise.resolve([]),
      manager: undefined,
      afterCommit: () => undefined,
    } as unknown as Tx;
    expect(() => {
      Tx.assertOpen(forged);
    }).toThrow(AppError);
    expect(() => new (Tx as unknown as new () => Tx)()).toThrow(AppError);
  });

  test('runs its after-commit work after a commit only', async () => {
    const ran: string[] = [];
    await database.transaction((tx) => {
      tx.afterCommit(() => ran.push('committed'));
      return Promise.resolve();
    });
    await database
      .transaction((tx) => {
        tx.afterCommit(() => ran.push('rolled back'));
        return Promise.reject(new Error('no'));
      })
      .catch(() => undefined);
    expect(ran).toEqual(['committed']);
  });

  test('a statement that was sent without waiting is in it, and takes everything with it when it fails', async () => {
    const ran: string[] = [];
    const statement = { name: 'test.sent', text: 'INSERT INTO thing (id) VALUES ($1)' };
    const sendTwo = (second: string) =>
      database.transaction(async (tx) => {
        await tx.query('INSERT INTO thing (id) VALUES (130)');
        tx.send(statement, ['131']);
        tx.send(statement, [second]);
        await tx.query('SELECT 1').catch(() => undefined);
        tx.afterCommit(() => ran.push(second));
      });
    const failure: unknown = await sendTwo('131').catch((error: unknown) => error);
    expect(isUniqueViolation(failure, 'thing_pkey')).toBe(true);
    const ids = () => database.query('SELECT id FROM thing WHERE id IN (130, 131, 132)');
    expect(await ids()).toEqual([]);
    // The control.
    await sendTwo('132');
    expect(await ids()).toHaveLength(3);
    expect(ran).toEqual(['132']);
  });

  test('a statement that was sent and failed is the reason, also for what is asked behind it, and is run again if it may be', async () => {
    await admin.query(
      `CREATE FUNCTION rbac.fail(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'failed' USING ERRCODE = $1; END $$;
       GRANT EXECUTE ON FUNCTION rbac.fail(text) TO rbac`,
    );
    const sendAndAsk = async (code: string) => {
      let runs = 0;
      const failure: unknown = await database
        .transaction(async (tx) => {
          runs++;
          tx.send({ name: 'test.fail', text: 'SELECT rbac.fail($1)' }, [code]);
          await tx.query('SELECT 1');
        })
        .catch((error: unknown) => error);
      return { runs, failure };
    };
    expect(await sendAndAsk('23505')).toMatchObject({ runs: 1, failure: { code: '23505' } });
    // A conflict: three times in all.
    expect(await sendAndAsk('40001')).toMatchObject({ runs: 3, failure: { code: 'unavailable' } });
  });

  test('loses no increment under serializable contention: conflicts are run again', async () => {
    await database.query('INSERT INTO thing (id) VALUES (20)');
    const increment = () =>
      database.transaction(
        async (tx) => {
          const [row] = await tx.query<{ n: number }>('SELECT n FROM thing WHERE id = 20');
          await tx.query('UPDATE thing SET n = $1 WHERE id = 20', [(row?.n ?? 0) + 1]);
        },
        { isolation: 'SERIALIZABLE' },
      );
    const results = await Promise.allSettled(Array.from({ length: 6 }, increment));
    const succeeded = results.filter(({ status }) => status === 'fulfilled').length;
    for (const result of results)
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'unavailable' });
    expect(succeeded).toBeGreaterThan(0);
    expect(await database.query('SELECT n FROM thing WHERE id = 20')).toEqual([{ n: succeeded }]);
  });

  test('that waits for a lock longer than its limit is unavailable, not stuck', async () => {
    await database.query('INSERT INTO thing (id) VALUES (30)');
    await admin.query('BEGIN; SELECT * FROM rbac.thing WHERE id = 30 FOR UPDATE');
    try {
      expect(await codeOf(database.transaction((tx) => tx.query('UPDATE thing SET n = 1 WHERE id = 30')))).toBe(
        'unavailable',
      );
    } finally {
      await admin.query('ROLLBACK');
    }
  });
});

describe('when PostgreSQL goes', () => {
  test('away in the middle of a transaction the answer is unavailable, nothing is half done, and the next call works', async () => {
    const work = database.transaction(async (tx) => {
      const [row] = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      await tx.query('INSERT INTO thing (id) VALUES (40)');
      await admin.query('SELECT pg_terminate_backend($1)', [row?.pid]);
      await tx.query('SELECT 1');
    });
    expect(await codeOf(work)).toBe('unavailable');
    expect(await database.query('SELECT id FROM thing WHERE id = 40')).toEqual([]);
  });

  test('away while connections are idle, the process lives and the pool recovers', async () => {
    await Promise.all([database.ping(), database.ping(), database.ping()]);
    await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kit-test'");
    const codes = [];
    for (let i = 0; i < 5; i++) codes.push(await codeOf(database.ping()));
    expect(codes.at(-1)).toBe('ok');
    for (const code of codes) expect(['ok', 'unavailable']).toContain(code);
  });

  test('silent, or refuses, or all connections are taken, the answer is unavailable within its limit', async () => {
    expect(await codeOf(open('postgres://nobody:x@127.0.0.1:1/none'))).toBe('unavailable');
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    expect(await codeOf(open(`postgres://nobody:x@127.0.0.1:${String(port)}/none`))).toBe('unavailable');
    silent.close();
    const small = await open(server.url, 2);
    const release: (() => void)[] = [];
    const hold = () => small.transaction(() => new Promise<void>((resolve) => release.push(resolve)));
    const held = [hold(), hold()];
    await eventually(() => release.length === 2);
    expect(await codeOf(small.ping())).toBe('unavailable');
    for (const fn of release) fn();
    await Promise.all(held);
    expect(await codeOf(small.ping())).toBe('ok');
    await small.close();
    expect(await codeOf(small.ping())).toBe('unavailable');
  });
});

test('what a caller was told is unavailable is not committed later; in time it is', async () => {
  const write = (id: number, deadline: number) =>
    runInContext(
      serviceContext('test'),
      () => database.transaction((tx) => tx.query('INSERT INTO thing (id) VALUES ($1)', [id])),
      deadline,
    );
  await expect(write(9001, Date.now() - 1)).rejects.toMatchObject({ code: 'unavailable' });
  await write(9002, Date.now() + 60_000);
  const rows = await database.query<{ id: number }>('SELECT id FROM thing WHERE id > 9000');
  expect(rows.map(({ id }) => id)).toEqual([9002]);
});
