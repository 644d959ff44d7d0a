import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { dockerPostgres } from './docker.js';
import { makeFolder, reachableFolder, serverUser } from './folders.js';
import type { Env } from './folders.js';
import { UnusableSource, climb } from './ladder.js';
import type { Source } from './ladder.js';
import { serverEnv, spawnChild } from './process.js';
import { dataFolderVersion, majorVersion, postgresLadder } from './provider-postgres.js';
import { firstLine } from './rungs.js';
import { externalServer, launch } from './server.js';
import type { RunningServer } from './server.js';

const run = promisify(execFile);
const superuser = 'postgres';

export interface StartOptions {
  readonly dataDir: string;
  /** 0 = any. */
  readonly port: number;
  readonly env?: Env;
  /** Default: `server.log` beside the data folder. */
  readonly logFile?: string;
  readonly announce?: (line: string) => void;
}

export interface StartPostgresOptions extends StartOptions {
  /** Trades durability for speed (no fsync). Only for data that a test throws away. */
  readonly fast: boolean;
}

/**
 * A PostgreSQL on 127.0.0.1 with its data in `dataDir`; the URL is the superuser's. With `DATABASE_URL` it is that
 * server, untouched. The superuser's password is made once and kept beside the data folder, readable by us only.
 */
export async function startPostgres(options: StartPostgresOptions): Promise<RunningServer> {
  const env = options.env ?? process.env;
  const ladder = postgresLadder({ env, announce: options.announce ?? (() => undefined) });
  return climb(ladder, (source) => start(source, options, env));
}

async function start(source: Source, options: StartPostgresOptions, env: Env): Promise<RunningServer> {
  if (source.kind === 'url') return externalServer(source.url, 5432, 'PostgreSQL (DATABASE_URL)');
  await mkdir(path.dirname(options.dataDir), { recursive: true });
  const password = await superuserPassword(options.dataDir);
  if (source.kind === 'docker') return dockerPostgres(source, { ...options, env, password });
  const dataDir = await initialised(source, options, password);
  const settings = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'max_connections=300'];
  if (options.fast) settings.push('fsync=off', 'synchronous_commit=off', 'full_page_writes=off');
  const url = (port: number): string => `postgres://${superuser}:${password}@127.0.0.1:${port}/postgres`;
  const { child, port, busy } = await launch({
    name: 'PostgreSQL',
    port: options.port,
    start: async (at) =>
      spawnChild({
        name: 'postgres',
        command: source.path,
        args: ['-D', dataDir, '-p', String(at), ...settings.flatMap((setting) => ['-c', setting])],
        cwd: '/',
        user: serverUser(),
        env: serverEnv,
        logFile: options.logFile ?? `${options.dataDir}.log`,
        onParentDeath: 'INT',
      }),
    ready: (at) => accepts(url(at)),
  });
  return {
    url: url(port),
    port,
    pid: child.pid,
    description: `PostgreSQL ${source.version} (${source.rung})`,
    ...(busy === undefined ? {} : { busyPort: busy }),
    exited: child.exited,
    signal: (signal) => child.signal(signal),
    // SIGINT is the fast shutdown: clients are disconnected, everything committed is on disk.
    stop: async () => void (await child.stop('SIGINT', 10_000)),
  };
}

/** The data folder, made by `initdb` when it is new. Another major version's data is left alone. */
async function initialised(source: Source & { kind: 'binary' }, options: StartPostgresOptions, password: string) {
  const user = serverUser();
  const dataDir = await reachableFolder(options.dataDir, user);
  const made = await dataFolderVersion(dataDir);
  const major = majorVersion(source.version);
  if (made === major) return dataDir;
  if (made !== undefined) throw new UnusableSource(`${dataDir} was made by PostgreSQL ${made}, this is ${major}`);
  if (dataDir !== options.dataDir) await makeFolder(path.dirname(dataDir), 0o711);
  await makeFolder(dataDir, 0o700);
  const passwordFile = path.join(path.dirname(dataDir), `.initdb-${process.pid}`);
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (user !== undefined) for (const file of [dataDir, passwordFile]) await chown(file, user.uid, user.gid);
  const locale = major >= 17 ? ['--locale-provider=builtin', '--locale=C.UTF-8'] : ['--no-locale'];
  const common = ['-D', dataDir, '-U', superuser, '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8'];
  const args = [...common, ...locale, ...(options.fast ? ['--no-sync'] : [])];
  const initdb = path.join(path.dirname(source.path), 'initdb');
  try {
    await run(initdb, args, { cwd: '/', env: serverEnv, ...(user ?? {}) });
  } catch (error) {
    await rm(dataDir, { recursive: true, force: true });
    throw new UnusableSource(`${initdb} failed: ${firstLine(error)}`);
  } finally {
    await rm(passwordFile, { force: true });
  }
  return dataDir;
}

async function superuserPassword(dataDir: string): Promise<string> {
  const file = `${dataDir}.password`;
  const kept = await readFile(file, 'utf8').catch(() => undefined);
  if (kept !== undefined) return kept;
  const password = randomBytes(24).toString('hex');
  await writeFile(file, password, { mode: 0o600 });
  return password;
}

async function accepts(connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2000 });
  try {
    await client.connect();
    await client.query('SELECT 1');
  } finally {
    await client.end().catch(() => undefined); // a client that never connected has nothing to end
  }
}
