import type { Database } from '@prime-nest/kit/database';
import type { CheckpointStore } from './checkpoint.store.js';

/** How far a source's sequence is in the log, read after the commit of what it counts. */
export class ReceiptCommand {
  readonly #database: Database;
  readonly #checkpoints: CheckpointStore;

  constructor({ database, checkpoints }: { database: Database; checkpoints: CheckpointStore }) {
    this.#database = database;
    this.#checkpoints = checkpoints;
  }

  async run({
    source,
    epoch,
  }: {
    readonly source: string;
    readonly epoch: string;
  }): Promise<{ sequence: number; checkpoint: string | null }> {
    const [row] = await this.#database.query<{ last_seq: string }>(
      'SELECT last_seq FROM source_state WHERE source = $1 AND epoch = $2',
      [source, epoch],
    );
    const newest = await this.#checkpoints.newest(this.#database);
    return { sequence: Number(row?.last_seq ?? 0), checkpoint: newest?.note ?? null };
  }
}
