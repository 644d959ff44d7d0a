import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { dockerPostgres } from './docker.js';
import { makeFolder, makeReachable, reachableFolder, serverUser } from './folders.js';
import type { Env } from './folders.js';
import { UnusableSource, climb } from './ladder.js';
import type { Source } from './ladder.js';
import { serverEnv, spawnChild } from './process.js';
import { dataFolderVersion, majorVersion, postgresLadder } from './provider-postgres.js';
import { firstLine } from './rungs.js';
import { externalServer, launch } from './server.js';
import type { RunningServer } from './server.js';
import { FinalError } from './wait.js';

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
  const { password, isNew } = await superuserPassword(options.dataDir);
  if (source.kind === 'docker') return dockerPostgres(source, { ...options, env, password });
  const dataDir = await reachableFolder(options.dataDir, serverUser());
  if (dataDir !== options.dataDir) {
    options.announce?.(`PostgreSQL keeps its data in ${dataDir}: its account (nobody) cannot enter ${options.dataDir}`);
  }
  // A stand-in of a home that was deleted by hand: data whose passwords and keys are gone.
  if (isNew && dataDir !== options.dataDir) await rm(dataDir, { recursive: true, force: true });
  await initialise(source, dataDir, password, options.fast);
  const settings = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'max_connections=300'];
  // The server's own log would quote the values of a refused row.
  settings.push('log_error_verbosity=terse');
  if (options.fast) settings.push('fsync=off', 'synchronous_commit=off', 'full_page_writes=off');
  const url = (port: number): string => `postgres://${superuser}:${password}@127.0.0.1:${port}/postgres`;
  const { child, port, busy } = await launch({
    name: 'PostgreSQL',
    port: options.port,
    start: (at) =>
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

/** Makes the data folder when it is new. Another major version's data is left alone. */
async function initialise(source: Source & { kind: 'binary' }, dataDir: string, password: string, fast: boolean) {
  const user = serverUser();
  const made = await dataFolderVersion(dataDir);
  const major = majorVersion(source.version);
  if (made === major) return;
  if (made !== undefined) throw new UnusableSource(`${dataDir} was made by PostgreSQL ${made}, this is ${major}`);
  if (user !== undefined) await makeReachable(path.dirname(dataDir), user);
  await makeFolder(dataDir, 0o700);
  const passwordFile = path.join(path.dirname(dataDir), `.initdb-${process.pid}`);
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (user !== undefined) for (const file of [dataDir, passwordFile]) await chown(file, user.uid, user.gid);
  const locale = major >= 17 ? ['--locale-provider=builtin', '--locale=C.UTF-8'] : ['--no-locale'];
  const common = ['-D', dataDir, '-U', superuser, '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8'];
  const args = [...common, ...locale, ...(fast ? ['--no-sync'] : [])];
  const initdb = path.join(path.dirname(source.path), 'initdb');
  try {
    await run(initdb, args, { cwd: '/', env: serverEnv, ...(user ?? {}) });
  } catch (error) {
    await rm(dataDir, { recursive: true, force: true });
    throw new UnusableSource(`${initdb} failed: ${firstLine(error)}`);
  } finally {
    await rm(passwordFile, { force: true });
  }
}

async function superuserPassword(dataDir: string): Promise<{ password: string; isNew: boolean }> {
  const file = `${dataDir}.password`;
  const kept = await readFile(file, 'utf8').catch(() => undefined);
  if (kept !== undefined) return { password: kept, isNew: false };
  const password = randomBytes(24).toString('hex');
  await writeFile(file, password, { mode: 0o600 });
  return { password, isNew: true };
}

async function accepts(connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2000 });
  try {
    await client.connect();
    await client.query('SELECT 1');
  } catch (cause) {
    const isRefused = cause instanceof pg.DatabaseError && cause.code === '28P01';
    throw isRefused ? new FinalError('PostgreSQL refuses the password kept beside its data', { cause }) : cause;
  } finally {
    await client.end().catch(() => undefined); // a client that never connected has nothing to end
  }
}
