import { readIfThere, replaceFile } from '@prime-nest/kit/durable-file';

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
    return this.#file === undefined ? undefined : readIfThere(this.#file);
  }

  /** Replaces the note durably: a crash leaves the old or the new one. */
  async write(note: string): Promise<void> {
    if (this.#file === undefined) return;
    await replaceFile(this.#file, note, `${this.#file}.next`);
  }
}
