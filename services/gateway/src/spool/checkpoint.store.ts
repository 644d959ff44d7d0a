import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { readIfThere, replaceFile } from '@prime-nest/kit/durable-file';

/** In the spool's folder; removing it lets the gateways of the machine believe another log, see docs/en/operations.md. */
const fileName = 'proven-checkpoint';

/** The newest checkpoint of the log that a gateway with this folder has verified, for all of them and over restarts. */
export class CheckpointStore {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  read(): Promise<string | undefined> {
    return readIfThere(path.join(this.#root, fileName));
  }

  /** Takes the place of the one `before`, unless another gateway was faster. A crash leaves the one or the other. */
  async keep(note: string, before: string | undefined): Promise<void> {
    if (note === before || (await this.read()) !== before) return;
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    const next = path.join(this.#root, `.${fileName}-${randomUUID()}`);
    await replaceFile(path.join(this.#root, fileName), note, next);
  }
}
