import { proveEvents } from '@prime-nest/kit/outbox/prove-events';
import type { Proven, ProveOptions } from '@prime-nest/kit/outbox/prove-events';
import type { CheckpointStore } from './checkpoint.store.js';
import type { SpoolRecord } from './record-line.js';

/** Has the signed log prove records before their files go. */
export class ProveRecordsCommand {
  readonly #options: ProveOptions;
  readonly #checkpoint: CheckpointStore;

  constructor(options: ProveOptions, checkpoint: CheckpointStore) {
    this.#options = options;
    this.#checkpoint = checkpoint;
  }

  /** How many of the records, from the first on, are proven. Rejects when the log gives no answer. */
  async run(records: readonly SpoolRecord[]): Promise<Proven> {
    const kept = await this.#checkpoint.read();
    const outcome = await proveEvents(records, kept, this.#options);
    // First: what goes because of it is never asked about again.
    if ('checkpoint' in outcome) await this.#checkpoint.keep(outcome.checkpoint, kept);
    return outcome;
  }
}
