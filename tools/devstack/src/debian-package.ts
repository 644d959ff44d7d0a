import { execFile } from 'node:child_process';
import { access, chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder } from './folders.js';
import type { Env } from './folders.js';

const run = promisify(execFile);

export interface DebianPackage {
  /** The package, as in `apt-get install <name>`. */
  readonly name: string;
  /** The program wanted from it. */
  readonly program: string;
  /** Other programs that have to be callable beside it. */
  readonly beside?: readonly string[];
}

export interface FetchContext {
  readonly env: Env;
  readonly announce: (line: string) => void;
  /** Looks only: nothing is fetched. */
  readonly dryRun?: boolean;
  /** Instead of the folders where distributions put servers. */
  readonly knownFolders?: readonly string[];
}

/**
 * The program's path after fetching the package and what it needs beyond the installed system into the cache. Unlike
 * `apt-get install` this needs no root, starts no service and is undone by deleting one folder; apt still checks the
 * signatures. The folder appears by one rename, so two launchers at once do no harm.
 */
export async function debianPackage(
  wanted: DebianPackage,
  { env, announce, dryRun }: FetchContext,
): Promise<{ file: string } | { why: string }> {
  if (process.platform !== 'linux') return { why: 'not a Linux machine' };
  if (env['DEVSTACK_FETCH'] === '0') return { why: 'DEVSTACK_FETCH=0' };
  const childEnv = { ...env, LC_ALL: 'C' };
  for (const tool of ['apt-get', 'dpkg']) {
    const works = await run(tool, ['--version'], { env: childEnv }).catch(() => undefined);
    if (works === undefined) return { why: `no ${tool} on this machine` };
  }
  if (dryRun === true) return { why: `would be fetched: ${wanted.name}` };
  const cache = cacheFolder(env);
  announce(
    `${wanted.program} not found: fetching Debian package ${wanted.name} into ${cache} ` +
      '(no root, no service; DEVSTACK_FETCH=0 to refuse)',
  );
  let work: string | undefined;
  try {
    await mkdir(cache, { recursive: true });
    work = await mkdtemp(path.join(cache, '.fetch-'));
    await chmod(work, 0o755);
    const downloads = await download(wanted.name, work, childEnv);
    return { file: await unpack(wanted, downloads, work, cache) };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return { why: `fetching ${wanted.name} failed: ${text.trim().split('\n').at(-1) ?? ''}` };
  } finally {
    if (work !== undefined) await rm(work, { recursive: true, force: true });
  }
}

/** Tries the machine's own package lists, then fresh private ones (a stale list names files that are gone). */
async function download(name: string, work: string, env: Env): Promise<string> {
  const folder = path.join(work, 'downloads');
  const own = ['-o', 'Debug::NoLocking=1'];
  const lists = path.join(work, 'lists');
  const cache = path.join(work, 'apt-cache');
  const fresh = [...own, '-o', `Dir::State::lists=${lists}`, '-o', `Dir::Cache=${cache}`];
  await mkdir(folder);
  try {
    await downloadClosure(name, folder, own, env);
  } catch {
    // No lists, or lists from before a point release: only the private refresh below can tell whether it exists.
    await mkdir(path.join(lists, 'partial'), { recursive: true });
    await mkdir(path.join(cache, 'archives/partial'), { recursive: true });
    await run('apt-get', [...fresh, '-qq', 'update'], { env, timeout: 120_000 });
    await downloadClosure(name, folder, fresh, env);
  }
  return folder;
}

async function downloadClosure(name: string, folder: string, options: string[], env: Env): Promise<void> {
  const plan = ['install', '--print-uris', '-qq', '--no-install-recommends', name];
  const { stdout } = await run('apt-get', [...options, ...plan], { env, timeout: 60_000 });
  const missing = [...stdout.matchAll(/^'[^']+' ([^_\s]+)_/gm)].map((match) => match[1] as string);
  const names = [...new Set([name, ...missing])];
  await run('apt-get', [...options, '-qq', 'download', ...names], { cwd: folder, env, timeout: 180_000 });
}

async function unpack(wanted: DebianPackage, folder: string, work: string, cache: string): Promise<string> {
  const root = path.join(work, 'package');
  await mkdir(path.join(root, 'run'), { recursive: true });
  const archives = (await readdir(folder)).filter((file) => file.endsWith('.deb'));
  for (const archive of archives) await run('dpkg', ['-x', path.join(folder, archive), path.join(root, 'root')]);
  for (const program of [wanted.program, ...(wanted.beside ?? [])]) await writeRunner(root, program);
  const version = archives.find((file) => file.startsWith(`${wanted.name}_`))?.split('_')[1] ?? 'unknown';
  const home = path.join(cache, `${wanted.name}_${version.replace(/[^\w.+~-]/g, '-')}`);
  const file = path.join(home, 'run', wanted.program);
  // The rename fails when another launcher was faster; its folder is as good as ours.
  await rename(root, home).catch(() => access(file));
  return file;
}

/** A script that finds its own folder and runs the program with the unpacked libraries. */
async function writeRunner(root: string, program: string): Promise<void> {
  const files = await readdir(path.join(root, 'root'), { recursive: true });
  const file = files.find((name) => /(^|\/)s?bin\//.test(name) && path.basename(name) === program);
  if (file === undefined) throw new Error(`the package holds no ${program}`);
  const folders = [...new Set(files.filter((name) => /\.so(\.|$)/.test(name)).map((name) => path.dirname(name)))];
  const libraries = folders.map((folder) => `$root/${folder}`).join(':');
  const script = [
    '#!/bin/sh',
    'root="$(dirname "$(readlink -f "$0")")/../root"',
    `LD_LIBRARY_PATH="${libraries}\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$root/${file}" "$@"`,
    '',
  ].join('\n');
  await writeFile(path.join(root, 'run', program), script, { mode: 0o755 });
}
