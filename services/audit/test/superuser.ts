import type { Queryable } from '@prime-nest/kit/database';
import type { TestDatabase } from '@prime-nest/testkit/postgres';
import pg from 'pg';
import { CheckLogCommand } from '../src/check/check-log.command.js';
import type { CheckLogOptions } from '../src/check/check-log.command.js';
import { StoredLogStore } from '../src/check/stored-log.store.js';

/** A superuser of the log's database who has switched the triggers off. */
export async function connectSuperuser({ superuserUrl }: TestDatabase): Promise<pg.Client> {
  const superuser = new pg.Client(superuserUrl);
  await superuser.connect();
  await superuser.query('SET search_path = audit');
  const { rows } = await superuser.query<{ name: string }>(
    "SELECT c.oid::regclass::text AS name FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'audit'::regnamespace",
  );
  for (const { name } of rows) await superuser.query(`ALTER TABLE ${name} DISABLE TRIGGER USER`);
  return superuser;
}

/** What the check finds in what the superuser sees after `sql`, inside a transaction that is rolled back afterwards. */
export async function faultsAfter(superuser: pg.Client, sql: string, options: CheckLogOptions): Promise<string[]> {
  await superuser.query('BEGIN');
  if (sql !== '') await superuser.query(sql);
  const inside: Queryable = {
    query: async <T>(text: string, params: readonly unknown[] = []) =>
      (await superuser.query(text, [...params])).rows as T[],
  };
  const { faults } = await new CheckLogCommand({ database: inside, log: new StoredLogStore() }).run(options);
  await superuser.query('ROLLBACK');
  return faults.map(({ kind, index, detail }) => `${kind} ${index ?? '-'}: ${detail}`);
}
