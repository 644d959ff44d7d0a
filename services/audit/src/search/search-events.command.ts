import type { AuditRpc, LogEntry } from '@prime-nest/contracts/audit';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { RpcParsed } from '@prime-nest/contracts/rpc';
import type { Database } from '@prime-nest/kit/database';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import { toLogEntry } from './entry.store.js';
import type { EntryStore } from './entry.store.js';
import { parseCursor } from './filter.js';
import { fittingEntries } from './page.js';

export type SearchRequest = RpcParsed<AuditRpc, 'audit.event.search.v1'>;

export interface SearchPage {
  readonly data: LogEntry[];
  readonly nextCursor: string | null;
}

/**
 * Answers a page of entries, newest first, and records the search in the same transaction: who read what is in the
 * log before he sees it. A page is shorter than `limit` when its entries are large. Throws `validation_failed` for a
 * cursor that is none.
 */
export class SearchEventsCommand {
  readonly #database: Database;
  readonly #entries: EntryStore;
  readonly #outbox: Outbox;

  constructor({ database, entries, outbox }: { database: Database; entries: EntryStore; outbox: Outbox }) {
    this.#database = database;
    this.#entries = entries;
    this.#outbox = outbox;
  }

  async run({ limit, cursor, ...filter }: SearchRequest, context: CallContext): Promise<SearchPage> {
    const below = cursor === undefined ? undefined : parseCursor(cursor);
    if (cursor !== undefined && below === undefined) {
      throw new AppError('validation_failed', {
        details: { violations: [{ pointer: '/cursor', message: 'is not a cursor of this list' }] },
      });
    }
    return this.#database.transaction(async (tx) => {
      const found = await this.#entries.search(tx, filter, { below, limit: limit + 1 });
      const page = fittingEntries(found.slice(0, limit));
      const last = page.at(-1);
      const hasMore = found.length > page.length;
      const after = {
        filter,
        returned: page.length,
        ...(last === undefined ? {} : { firstIndex: last.index, lastIndex: page[0]?.index }),
      };
      await this.#outbox.append(tx, { type: 'audit.log.searched.v1', change: { after } }, context);
      return { data: page.map(toLogEntry), nextCursor: hasMore && last !== undefined ? String(last.index) : null };
    });
  }
}
