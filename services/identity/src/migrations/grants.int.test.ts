import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '@prime-nest/testkit/postgres';
import pg from 'pg';
import { migrations } from './migrate.js';

let store: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  store = await createTestDatabase({ service: 'identity', migrations });
  client = new pg.Client({ connectionString: store.url });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await store.drop();
});

describe('the role of the service', () => {
  test.each([
    'CREATE TABLE identity.mine (id int)',
    'ALTER TABLE identity.account ADD COLUMN mine int',
    'DROP TABLE identity.session',
    'TRUNCATE identity.revocation',
    'CREATE SCHEMA mine',
    'CREATE TABLE public.mine (id int)',
    'DELETE FROM identity.account',
    "UPDATE identity.account SET email = 'other@example.org'",
    "UPDATE identity.session SET expires_at = 'infinity'",
    'UPDATE identity.session SET account_id = account_id',
    'DELETE FROM identity.signing_key',
    "UPDATE identity.signing_key SET public_jwk = '{}'",
    "UPDATE identity.outbox SET type = 'none'",
    'DELETE FROM identity.outbox',
    'UPDATE identity.revocation SET until = now()',
    'SELECT * FROM identity.migration',
  ])('may not %s', async (sql) => {
    await expect(client.query(sql)).rejects.toThrow(/permission denied|must be owner/);
  });

  test.each(['rbac', 'audit'])('sees nothing of schema %s', async (schema) => {
    await expect(client.query(`CREATE TABLE ${schema}.mine (id int)`)).rejects.toThrow('permission denied');
    const owner = new pg.Client({ connectionString: store.superuserUrl });
    await owner.connect();
    await owner.query(`CREATE TABLE ${schema}.theirs (id int)`);
    await owner.end();
    await expect(client.query(`SELECT * FROM ${schema}.theirs`)).rejects.toThrow('permission denied');
  });
});
