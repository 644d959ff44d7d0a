import { afterAll, describe, expect, test } from '@jest/globals';
import { query } from '@prime-nest/testkit/query';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { standInFolder } from './folders.js';
import { startPostgres } from './postgres-server.js';

const folder = mkdtempSync(path.join(os.tmpdir(), 'devstack postgres '));
const env = { ...process.env, DATABASE_URL: undefined };
const isRoot = process.getuid?.() === 0;

afterAll(() => {
  rmSync(path.dirname(standInFolder(path.join(folder, 'closed/pg'))), { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
});

describe('startPostgres', () => {
  test('works below a folder that only its owner can enter, as root too, and forgets data whose home is gone', async () => {
    const home = path.join(folder, 'closed');
    const dataDir = path.join(home, 'pg');
    mkdirSync(home, { mode: 0o700 });
    const first = await startPostgres({ dataDir, port: 0, fast: true, env });
    await query(first.url, 'CREATE TABLE kept AS SELECT 1 AS one');
    await first.stop();
    const second = await startPostgres({ dataDir, port: 0, fast: true, env });
    expect(await query(second.url, 'SELECT * FROM kept')).toEqual([{ one: 1 }]);
    await second.stop();

    rmSync(home, { recursive: true });
    const third = await startPostgres({ dataDir, port: 0, fast: true, env });
    await expect(query(third.url, 'SELECT * FROM kept')).rejects.toThrow('does not exist');
    await third.stop();
    if (isRoot) expect(statSync(standInFolder(dataDir)).uid).not.toBe(0);
  });

  test('is closed without the password, and to every address but this machine', async () => {
    chmodSync(folder, 0o711);
    const server = await startPostgres({ dataDir: path.join(folder, 'auth/pg'), port: 0, fast: true, env });
    const wrong = new URL(server.url);
    wrong.password = 'guess';
    await expect(query(wrong.href, 'SELECT 1')).rejects.toThrow('password authentication failed');
    expect(await query(server.url, 'SHOW listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }]);
    await server.stop();
  });

  test('does not touch data of another major version', async () => {
    const dataDir = path.join(folder, 'old/pg');
    mkdirSync(dataDir, { recursive: true });
    writeFileSync(path.join(dataDir, 'PG_VERSION'), '9\n');
    const nothingElse = { ...env, PATH: '', DEVSTACK_FETCH: '0', DEVSTACK_CACHE: folder };
    await expect(startPostgres({ dataDir, port: 0, fast: true, env: nothingElse })).rejects.toThrow(
      /was made by PostgreSQL 9, this is 18/,
    );
  });
});
