import type { Clock } from '@prime-nest/kit/clock';
import type { Database } from '@prime-nest/kit/database';
import { AppError } from '@prime-nest/contracts/errors';
import { entryBytes } from './entry.js';
import type { LogStore } from './log.store.js';
import { ownEvent } from './own-event.js';
import { accountSources } from './source-record.js';
import type { SourceStore } from './source.store.js';
import { leafHash } from '@prime-nest/kit/tlog/tree';

/** Entries of one record: its runs have to fit into an entry even when every entry is of another source. */
const windowMax = 1_500;

/**
 * Writes into the log which of its entries are which numbers of which source, for the entries since the last record:
 * what the hash of an entry does not cover, because the number is given after the bytes are made. One transaction under
 * the lock on the tree's state. Answers the index of the record, undefined when fewer than `entriesMin` entries wait.
 * Throws `internal` when a number is missing: the log broke its own rule, and must not sign the contrary.
 */
export class RecordSourcesCommand {
  readonly #database: Database;
  readonly #log: LogStore;
  readonly #sources: SourceStore;
  readonly #clock: Clock;
  readonly #newId: () => string;

  constructor(parts: { database: Database; log: LogStore; sources: SourceStore; clock: Clock; newId: () => string }) {
    this.#database = parts.database;
    this.#log = parts.log;
    this.#sources = parts.sources;
    this.#clock = parts.clock;
    this.#newId = parts.newId;
  }

  run(entriesMin: number): Promise<number | undefined> {
    return this.#database.transaction(async (tx) => {
      const state = await this.#log.lockState(tx);
      const from = await this.#sources.recordedSize(tx);
      const to = Math.min(state.treeSize, from + windowMax);
      if (to - from < Math.max(1, entriesMin)) return undefined;
      const entries = await this.#sources.placedEntries(tx, from, to);
      const passed = await this.#sources.passedNumbers(tx, to, windowMax);
      const { accounts, unaccounted } = accountSources(entries, passed, await this.#sources.recorded(tx, from, to));
      if (unaccounted.length > 0) {
        const [first] = unaccounted;
        throw new AppError('internal', { internal: { reason: 'a number before this entry is missing', ...first } });
      }
      // Records are not followed by records of nothing but themselves.
      if (accounts.length === 0 && to - from < windowMax) return undefined;
      const receivedAt = this.#clock();
      const after = { from, to, sources: accounts };
      const event = ownEvent({ type: 'audit.sources.recorded.v1', id: this.#newId(), at: receivedAt, after });
      const bytes = entryBytes(event);
      const entry = { receivedAt, event, place: undefined, leafHash: leafHash(bytes), bytes };
      await this.#log.grow(tx, state, [entry]);
      await this.#sources.moveRecorded(tx, to, accounts);
      return state.treeSize;
    });
  }
}
