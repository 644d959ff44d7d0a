import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { query } from '@prime-nest/testkit/query';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { bootstrapDatabase, bootstrapRoles, databaseUrl, rolePasswords, serviceUrls } from './bootstrap.js';
import { startPostgres } from './postgres-server.js';
import { databaseServices } from './roles-sql.js';
import type { RunningServer } from './server.js';

const folder = mkdtempSync(path.join(os.tmpdir(), 'devstack bootstrap '));
const options = { database: 'prime_nest', passwords: rolePasswords((role) => `it's ${role}`) };
let server: RunningServer;

beforeAll(async () => {
  chmodSync(folder, 0o711);
  const env = { ...process.env, DATABASE_URL: undefined };
  server = await startPostgres({ dataDir: path.join(folder, 'pg'), port: 0, fast: true, env });
  await bootstrapDatabase(server.url, options);
});
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

const catalogue = () =>
  query(
    databaseUrl(server.url, 'prime_nest'),
    `SELECT nspname, nspowner::regrole::text AS owner, nspacl::text AS acl FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1`,
  );

describe('bootstrapDatabase', () => {
  test('changes nothing when it runs again, also twice at once', async () => {
    const before = await catalogue();
    await Promise.all([bootstrapDatabase(server.url, options), bootstrapRoles(server.url, options.passwords)]);
    expect(await catalogue()).toEqual(before);
  });

  test('gives every service its own schema and nothing of the others', async () => {
    const urls = serviceUrls(server.url, options);
    for (const service of databaseServices) {
      await query(urls[service].migrationUrl, `CREATE TABLE ${service}.secret AS SELECT 1 AS one`);
      await query(urls[service].migrationUrl, `GRANT SELECT ON ${service}.secret TO ${service}`);
    }
    for (const service of databaseServices) {
      // Control: what belongs to the service works.
      expect(await query(urls[service].url, 'SELECT one FROM secret')).toEqual([{ one: 1 }]);
      for (const other of databaseServices.filter((name) => name !== service)) {
        for (const url of [urls[service].url, urls[service].migrationUrl]) {
          await expect(query(url, `SELECT * FROM ${other}.secret`)).rejects.toThrow(
            `permission denied for schema ${other}`,
          );
        }
      }
    }
  });

  test('lets no service create tables, change to a database of its own or act as the owner', async () => {
    const { url } = serviceUrls(server.url, options).rbac;
    await expect(query(url, 'CREATE TABLE rbac.mine ()')).rejects.toThrow('permission denied for schema rbac');
    await expect(query(url, 'CREATE TABLE public.mine ()')).rejects.toThrow('permission denied for schema public');
    await expect(query(url, 'CREATE SCHEMA mine')).rejects.toThrow('permission denied for database');
    await expect(query(url, 'CREATE DATABASE mine')).rejects.toThrow('permission denied to create database');
    await expect(query(url, 'SET ROLE rbac_owner')).rejects.toThrow('permission denied to set role');
    await expect(query(url, 'CREATE TEMP TABLE mine ()')).rejects.toThrow('permission denied to create temporary');
  });
});
