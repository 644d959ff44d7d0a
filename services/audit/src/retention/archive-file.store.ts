import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';

export interface ArchiveDigest {
  readonly sha256: string;
  readonly bytes: number;
}

/**
 * Writes an archive line by line under another name first: a file that has its name is whole and on the disk. The lines
 * are those of an export, with the bytes that were hashed as they are.
 */
export class ArchiveFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #hash: Hash = createHash('sha256');
  #bytes = 0;

  private constructor(file: string, handle: FileHandle) {
    this.#path = file;
    this.#handle = handle;
  }

  static async create(file: string): Promise<ArchiveFile> {
    return new ArchiveFile(file, await open(`${file}.part`, 'w', 0o600));
  }

  async add(entries: readonly { index: number; receivedAt: Date; bytes: Buffer }[]): Promise<void> {
    const lines = entries.map(({ index, receivedAt, bytes }) =>
      Buffer.concat([
        Buffer.from(`{"index":${index},"receivedAt":"${receivedAt.toISOString()}","event":`),
        bytes,
        Buffer.from('}\n'),
      ]),
    );
    const chunk = Buffer.concat(lines);
    this.#hash.update(chunk);
    this.#bytes += chunk.length;
    await this.#handle.writeFile(chunk);
  }

  async finish(): Promise<ArchiveDigest> {
    await this.#handle.sync();
    await this.#handle.close();
    await rename(`${this.#path}.part`, this.#path);
    const folder = await open(path.dirname(this.#path));
    await folder.sync().finally(() => folder.close());
    return { sha256: this.#hash.digest('hex'), bytes: this.#bytes };
  }

  async abandon(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
  }
}

/** Digest of a file as it lies there now; undefined when there is none. */
export async function digestOf(file: string): Promise<ArchiveDigest | undefined> {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bytes += chunk.length;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return { sha256: hash.digest('hex'), bytes };
}
