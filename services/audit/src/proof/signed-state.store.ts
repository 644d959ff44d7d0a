import { open, readFile, rename } from 'node:fs/promises';

/**
 * What the signer signed last, kept in a file outside the database: when the database is set back to an earlier
 * state, this is what knows better. Without a file nothing is kept.
 */
export class SignedStateStore {
  readonly #file: string | undefined;

  constructor(file: string | undefined) {
    this.#file = file;
  }

  /** The note of the last checkpoint, or undefined when there was none. */
  async read(): Promise<string | undefined> {
    if (this.#file === undefined) return undefined;
    try {
      return await readFile(this.#file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Replaces the note durably: a crash leaves the old or the new one. */
  async write(note: string): Promise<void> {
    if (this.#file === undefined) return;
    const next = `${this.#file}.next`;
    const handle = await open(next, 'w', 0o600);
    try {
      await handle.writeFile(note);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(next, this.#file);
  }
}
