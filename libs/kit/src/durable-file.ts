import { open, readFile, rename, rm } from 'node:fs/promises';

/** The text of a file, or undefined when there is none. */
export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Replaces a file, readable for its owner alone: a crash leaves the old or the new text. It is written to `next` before,
 * in the same folder; whoever shares the file with other processes needs a name of his own for that.
 */
export async function replaceFile(file: string, text: string, next: string): Promise<void> {
  // What a crash left there; whatever else came there since is not written through.
  await rm(next, { force: true });
  const handle = await open(next, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(next, file);
}
