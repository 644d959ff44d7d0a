import { createHash } from 'node:crypto';
import { chmod, mkdir, stat } from 'node:fs/promises';
import path from 'node:path';

/** The repository: two levels above this package's folder, from `src` and from `dist` alike. */
export const repositoryRoot = path.resolve(import.meta.dirname, '../../..');

export type Env = Readonly<Record<string, string | undefined>>;

/** Where fetched programs are kept: `DEVSTACK_CACHE`, else `.cache/devstack` in the repository. */
export function cacheFolder(env: Env): string {
  return path.resolve(env['DEVSTACK_CACHE'] ?? path.join(repositoryRoot, '.cache/devstack'));
}

/** Where the local system keeps its data: `PRIME_NEST_HOME`, else `.prime-nest` in the repository. */
export function homeFolder(env: Env): string {
  return path.resolve(env['PRIME_NEST_HOME'] ?? path.join(repositoryRoot, '.prime-nest'));
}

/** Where a service's programs are: `services/<name>` in the repository, or in the folder `DEVSTACK_SERVICES` names. */
export function serviceFolder(service: string, env: Env): string {
  return path.join(env['DEVSTACK_SERVICES'] ?? path.join(repositoryRoot, 'services'), service);
}

export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The account a server that refuses root runs under: `nobody`, which exists everywhere, so that no account is ever
 * created. Undefined when we are not root.
 */
export function serverUser(): ServerUser | undefined {
  return process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : undefined;
}

/** Whether `user` may walk into `folder`: every parent, and the folder itself, lets it through. */
export async function isReachable(folder: string, user: ServerUser): Promise<boolean> {
  for (let at = path.resolve(folder); ; at = path.dirname(at)) {
    const info = await stat(at).catch(() => undefined);
    if (info !== undefined) {
      const bit = info.uid === user.uid ? 0o100 : info.gid === user.gid ? 0o010 : 0o001;
      if ((info.mode & bit) === 0) return false;
    }
    if (at === path.dirname(at)) return true;
  }
}

/**
 * A stand-in for `folder` that `user` can reach, when a parent of `folder` (root's 0700 home, say) is closed to it.
 * It is fixed by the folder's own path, lies where only root may create names, and is removed by `reset`.
 */
export async function reachableFolder(folder: string, user: ServerUser | undefined): Promise<string> {
  if (user === undefined || (await isReachable(path.dirname(folder), user))) return folder;
  return standInFolder(folder);
}

/** Creates the folder so that `user` can reach it, where only the folder itself may be in the way. */
export async function makeReachable(folder: string, user: ServerUser): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o711 });
  if (!(await isReachable(folder, user))) await chmod(folder, 0o711);
}

/** The stand-in's path alone; nothing is created. */
export function standInFolder(folder: string): string {
  const key = createHash('sha256').update(path.resolve(folder)).digest('hex').slice(0, 12);
  return path.join('/var/lib/prime-nest', key, path.basename(folder));
}

/** Creates the folder with exactly this mode, whatever the umask says. */
export async function makeFolder(folder: string, mode: number): Promise<string> {
  await mkdir(folder, { recursive: true });
  await chmod(folder, mode);
  return folder;
}
