import { execFile } from 'node:child_process';
import { access, constants, readdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { debianPackage } from './debian-package.js';
import type { DebianPackage, FetchContext } from './debian-package.js';
import { cacheFolder } from './folders.js';
import type { Env } from './folders.js';
import type { Rung, Source } from './ladder.js';

const run = promisify(execFile);

/** `announce` gets one line for the person who waits, before anything is fetched. */
export type RungContext = FetchContext;

/** Asks the program for its version; the reason when it does not answer like the program we look for. */
export type Probe = (file: string) => Promise<{ version: string } | { why: string }>;

export function versionProbe(argument: string, pattern: RegExp): Probe {
  return async (file) => {
    try {
      const { stdout, stderr } = await run(file, [argument], { timeout: 10_000 });
      const version = pattern.exec(stdout + stderr)?.[1];
      return version === undefined ? { why: `${file} ${argument} answers something else` } : { version };
    } catch (error) {
      return { why: `${file} does not run: ${firstLine(error)}` };
    }
  };
}

export function urlRung(variable: string, env: Env): Rung {
  const name = `${variable}`;
  return {
    name,
    detect: () => {
      const url = env[variable];
      return url === undefined || url === '' ? 'not set' : { kind: 'url', rung: name, url };
    },
  };
}

export function variableRung(variable: string, env: Env, probe: Probe): Rung {
  return {
    name: variable,
    detect: async () => {
      const file = env[variable];
      return file === undefined || file === '' ? 'not set' : probed(variable, path.resolve(file), probe);
    },
  };
}

/** Candidates on PATH, then in the folders where distributions keep servers off everybody's PATH. */
export function pathRung(
  program: string,
  folders: () => readonly string[] | Promise<readonly string[]>,
  env: Env,
  probe: Probe,
): Rung {
  const name = `${program} on PATH`;
  return {
    name,
    detect: async () => {
      const reasons: string[] = [];
      const onPath = (env['PATH'] ?? '').split(path.delimiter).filter((folder) => folder !== '');
      for (const folder of [...onPath, ...(await folders())]) {
        const file = path.join(folder, program);
        if (!(await isExecutable(file))) continue;
        const found = await probed(name, file, probe);
        if (typeof found !== 'string') return found;
        reasons.push(found);
      }
      return reasons.length === 0 ? 'not found' : reasons.join('; ');
    },
  };
}

/** What an earlier run fetched. */
export function cacheRung(wanted: DebianPackage, env: Env, probe: Probe): Rung {
  const folder = cacheFolder(env);
  return {
    name: 'project cache',
    detect: async () => {
      const entries = await readdir(folder).catch(() => []);
      for (const entry of entries
        .filter((name) => name.startsWith(`${wanted.name}_`))
        .sort()
        .reverse()) {
        const found = await probed('project cache', path.join(folder, entry, 'run', wanted.program), probe);
        if (typeof found !== 'string') return found;
      }
      return `no ${wanted.name} in ${folder}`;
    },
  };
}

/** Fetches and unpacks the distribution's package into the cache: no root, no service, no open port. */
export function debianRung(wanted: DebianPackage, context: RungContext, probe: Probe): Rung {
  return {
    name: 'Debian package',
    detect: async () => {
      const fetched = await debianPackage(wanted, context);
      return 'why' in fetched ? fetched.why : probed('Debian package', fetched.file, probe);
    },
  };
}

export function dockerRung(image: string, env: Env): Rung {
  return {
    name: 'Docker',
    detect: async () => {
      try {
        const args = ['version', '--format', '{{.Server.Version}}'];
        const { stdout } = await run('docker', args, { timeout: 2000, env: { ...process.env, ...env } });
        return { kind: 'docker', rung: 'Docker', image, version: `${image} on Docker ${stdout.trim()}` };
      } catch (error) {
        return `no Docker engine answers within 2 s: ${firstLine(error)}`;
      }
    },
  };
}

async function probed(rung: string, file: string, probe: Probe): Promise<Source | string> {
  if (!(await isExecutable(file))) return `${file} is no executable file`;
  const answer = await probe(file);
  return 'why' in answer ? answer.why : { kind: 'binary', rung, path: file, version: answer.version };
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}

export function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('Command failed'));
  return (lines[0] ?? text.split('\n')[0] ?? '').trim();
}
