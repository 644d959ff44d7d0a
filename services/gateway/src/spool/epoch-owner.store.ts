import { open, readdir, rename, rm, mkdir } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Server } from 'node:net';
import path from 'node:path';

const socketName = 'owner';
const nameWithinMs = 60_000;
const epochPattern = /^\.?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A folder that only this process writes: as long as it lives, nobody else takes it for left behind. */
export interface OwnedFolder {
  readonly folder: string;
  /** Lets go of it; what is in it stays. */
  release(): Promise<void>;
}

/**
 * Makes the folder of a new epoch. It is owned by whoever listens on the socket in it, so that the kernel knows whether
 * the owner lives, after any kind of end and also while it is stopped; no clock and no process id is trusted. One machine.
 */
export async function createOwnedFolder(root: string, epoch: string): Promise<OwnedFolder> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  const folder = path.join(root, epoch);
  // Bound before it has its name: whoever lists the folder finds it owned or not at all.
  const hidden = path.join(root, `.${epoch}`);
  await mkdir(hidden, { mode: 0o700 });
  const handle = await open(hidden);
  let server: Server | undefined;
  try {
    server = await listen(socketIn(hidden, handle));
    await rename(hidden, folder);
    await syncFolder(root);
  } catch (error) {
    server?.close();
    await handle.close();
    await rm(hidden, { recursive: true, force: true });
    throw error;
  }
  const release = async () => {
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await handle.close();
  };
  return { folder, release };
}

/** Epochs in `root` whose owner has ended, oldest first; what never got its name is removed after a while. */
export async function abandonedEpochs(root: string): Promise<string[]> {
  const names = (await readdir(root)).filter((name) => epochPattern.test(name));
  const found = await Promise.all(
    names.map(async (name) => ({ name, ageMs: await abandonedAge(path.join(root, name)) })),
  );
  const abandoned = found.flatMap(({ name, ageMs }) => (ageMs === undefined ? [] : [{ name, ageMs }]));
  for (const { name, ageMs } of abandoned) {
    // A young one may be about to get its owner.
    if (name.startsWith('.') && ageMs > nameWithinMs) await rm(path.join(root, name), { recursive: true, force: true });
  }
  return abandoned
    .filter(({ name }) => !name.startsWith('.'))
    .sort((a, b) => b.ageMs - a.ageMs)
    .map(({ name }) => name);
}

/** How long ago the folder was made, undefined while somebody owns it, or when it is gone. */
async function abandonedAge(folder: string): Promise<number | undefined> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(folder);
    if (await isOwned(socketIn(folder, handle))) return undefined;
    return Date.now() - (await handle.stat()).birthtimeMs;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  } finally {
    await handle?.close();
  }
}

function isOwned(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.on('connect', () => {
      probe.destroy();
      resolve(true);
    });
    // Anything but "nobody is there" leaves it to its owner.
    probe.on('error', (error) => resolve(!['ECONNREFUSED', 'ENOENT'].includes(codeOf(error) ?? '')));
  });
}

/** The path of a socket has room for some 100 bytes: through the open folder it is always short. */
function socketIn(folder: string, { fd }: FileHandle): string {
  if (process.platform === 'win32') return `\\\\.\\pipe\\prime-nest-${path.basename(folder).replace('.', '')}`;
  return process.platform === 'linux' ? `/proc/self/fd/${fd}/${socketName}` : path.join(folder, socketName);
}

function listen(socket: string): Promise<Server> {
  const server = createServer((connection) => connection.destroy());
  server.unref();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(socket, () => resolve(server));
  });
}

/** A new name in a folder outlives a loss of power only when the folder itself is on the disk. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function codeOf(error: unknown): string | undefined {
  const code: unknown = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}
