import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { bootstrapRoles, rolePasswords } from '@prime-nest/devstack/bootstrap';
import type { RolePasswords } from '@prime-nest/devstack/bootstrap';
import { startPostgres } from '@prime-nest/devstack/postgres-server';

const prefix = 'prime-nest-testkit-';

/** The roles' passwords on a test server: known, because nothing on it is worth a secret. */
export const testPasswords: RolePasswords = rolePasswords((role) => `test-only-${role}`);

export interface TestRun {
  /** What the test workers need to know, as environment variables. */
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/**
 * What one test run shares: a PostgreSQL with the services' roles, and a folder for everything that is started
 * during it. With TESTKIT_POSTGRES_URL the server is that one. The folder goes with `stop`; folders of killed runs
 * go with the next start.
 */
export async function startTestRun(announce: (line: string) => void): Promise<TestRun> {
  removeAbandonedFolders();
  const folder = mkdtempSync(path.join(os.tmpdir(), `${prefix}${process.pid}-`));
  // The PostgreSQL of a root user runs as nobody and has to reach its folder in here.
  chmodSync(folder, 0o711);
  const given = process.env['TESTKIT_POSTGRES_URL'];
  const env = { ...process.env, DATABASE_URL: given };
  const postgres = await startPostgres({ dataDir: path.join(folder, 'postgres'), port: 0, fast: true, env, announce });
  await bootstrapRoles(postgres.url, testPasswords);
  return {
    env: { TESTKIT_POSTGRES_URL: postgres.url, TESTKIT_RUN_DIR: folder },
    async stop() {
      await postgres.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

let counter = 0;

/** A fresh folder inside the run's folder; it disappears with the run. */
export async function runFolder(name: string): Promise<string> {
  const base = process.env['TESTKIT_RUN_DIR'] ?? mkdtempSync(path.join(os.tmpdir(), `${prefix}${process.pid}-`));
  counter += 1;
  const folder = path.join(base, `${name}-${process.pid}-${counter}`);
  await mkdir(folder, { recursive: true });
  return folder;
}

function removeAbandonedFolders(): void {
  for (const entry of readdirSync(os.tmpdir()).filter((name) => name.startsWith(prefix))) {
    const pid = Number(entry.slice(prefix.length).split('-')[0]);
    if (Number.isInteger(pid) && !isAlive(pid)) rmSync(path.join(os.tmpdir(), entry), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
