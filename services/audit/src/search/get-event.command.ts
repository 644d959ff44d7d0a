import type { LogEntry } from '@prime-nest/contracts/audit';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { Database } from '@prime-nest/kit/database';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import { entryOf } from './entry.store.js';
import type { EntryStore } from './entry.store.js';

/** Answers one entry by its event's id and records the reading in the same transaction. Throws `not_found`. */
export class GetEventCommand {
  readonly #database: Database;
  readonly #entries: EntryStore;
  readonly #outbox: Outbox;

  constructor({ database, entries, outbox }: { database: Database; entries: EntryStore; outbox: Outbox }) {
    this.#database = database;
    this.#entries = entries;
    this.#outbox = outbox;
  }

  async run({ id }: { readonly id: string }, context: CallContext): Promise<LogEntry> {
    const entry = await this.#database.transaction(async (tx) => {
      const found = await this.#entries.findById(tx, id);
      const outcome = found === undefined ? 'failure' : 'success';
      const reason = found === undefined ? { reasonCode: 'not_found' } : {};
      await this.#outbox.append(tx, { type: 'audit.event.read.v1', resourceId: id, outcome, ...reason }, context);
      return found;
    });
    if (entry === undefined) throw new AppError('not_found');
    return entryOf(id, entry);
  }
}
