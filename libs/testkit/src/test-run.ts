import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { bootstrapRoles, rolePasswords } from '@prime-nest/devstack/bootstrap';
import type { RolePasswords } from '@prime-nest/devstack/bootstrap';
import { climb } from '@prime-nest/devstack/ladder';
import { startPostgres } from '@prime-nest/devstack/postgres-server';
import { natsLadder } from '@prime-nest/devstack/provider-nats';
import { redisLadder } from '@prime-nest/devstack/provider-redis';
import type { RunningServer } from '@prime-nest/devstack/server';
import { containerPostgres, usesContainers } from './containers.js';

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
  const [postgres, programs] = await Promise.all([runPostgres(folder, announce), findPrograms(announce)]);
  await bootstrapRoles(postgres.url, testPasswords);
  return {
    env: { TESTKIT_POSTGRES_URL: postgres.url, TESTKIT_RUN_DIR: folder, ...programs },
    async stop() {
      await postgres.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function runPostgres(folder: string, announce: (line: string) => void): Promise<RunningServer> {
  const given = process.env['TESTKIT_POSTGRES_URL'];
  if (given === undefined && (await usesContainers())) return containerPostgres(randomBytes(16).toString('hex'));
  const env = { ...process.env, DATABASE_URL: given };
  return startPostgres({ dataDir: path.join(folder, 'postgres'), port: 0, fast: true, env, announce });
}

/** Finds, or fetches, the other servers' programs once, so that the test files need not search. */
async function findPrograms(announce: (line: string) => void): Promise<Record<string, string>> {
  const context = { env: { ...process.env, NATS_URL: undefined, REDIS_URL: undefined }, announce };
  const found: Record<string, string> = {};
  for (const [variable, ladder] of Object.entries({
    NATS_SERVER_BIN: natsLadder(context),
    REDIS_SERVER_BIN: redisLadder(context),
  })) {
    try {
      const source = await climb(ladder, (one) => Promise.resolve(one));
      if (source.kind === 'binary') found[variable] = source.path;
    } catch (error) {
      // Not every test needs this server; those that do fail with the same text.
      announce(error instanceof Error ? error.message : String(error));
    }
  }
  return found;
}

/** A folder that nobody has used before, inside the run's folder; it disappears with the run. */
export async function runFolder(name: string): Promise<string> {
  const base = process.env['TESTKIT_RUN_DIR'] ?? mkdtempSync(path.join(os.tmpdir(), `${prefix}${process.pid}-`));
  await mkdir(base, { recursive: true });
  // Not a counter: a worker process runs many test files, and each begins to count anew.
  return mkdtemp(path.join(base, `${name}-`));
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
