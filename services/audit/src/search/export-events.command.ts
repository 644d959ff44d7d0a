import type { AuditRpc, RetiredEntries } from '@prime-nest/contracts/audit';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { RpcParsed, RpcResponse } from '@prime-nest/contracts/rpc';
import type { Database, Queryable } from '@prime-nest/kit/database';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import type { CheckpointStore, StoredCheckpoint } from '../proof/checkpoint.store.js';
import { RetentionStore } from '../retention/retention.store.js';
import type { EntryStore } from './entry.store.js';
import { fittingEntries } from './page.js';

/**
 * Answers one page of an export in log order and records it in the same transaction. The first page fixes the
 * checkpoint that the export is complete up to; the cursor carries it, so that the export ends although the log grows
 * (with the exports' own entries, for one), and names the entries that are retired. Throws `validation_failed` for a cursor that is none.
 */
export class ExportEventsCommand {
  readonly #database: Database;
  readonly #entries: EntryStore;
  readonly #checkpoints: CheckpointStore;
  readonly #retention = new RetentionStore();
  readonly #outbox: Outbox;

  constructor(parts: { database: Database; entries: EntryStore; checkpoints: CheckpointStore; outbox: Outbox }) {
    this.#database = parts.database;
    this.#entries = parts.entries;
    this.#checkpoints = parts.checkpoints;
    this.#outbox = parts.outbox;
  }

  async run(
    { limit, cursor, ...filter }: RpcParsed<AuditRpc, 'audit.event.export.v1'>,
    context: CallContext,
  ): Promise<RpcResponse<AuditRpc, 'audit.event.export.v1'>> {
    return this.#database.transaction(async (tx) => {
      const { from, checkpoint } = await this.#position(tx, cursor);
      const found = await this.#entries.forward(tx, filter, { from, to: checkpoint.treeSize, limit: limit + 1 });
      const page = fittingEntries(found.slice(0, limit));
      const last = page.at(-1);
      const hasMore = last !== undefined && found.length > page.length;
      const after = { filter, from, treeSize: checkpoint.treeSize, returned: page.length };
      await this.#outbox.append(tx, { type: 'audit.log.exported.v1', change: { after } }, context);
      const retired = cursor === undefined ? await this.#retired(tx) : undefined;
      return {
        data: page.map(({ index, receivedAt, bytes }) => ({
          index,
          receivedAt: receivedAt.toISOString(),
          entry: bytes.toString('utf8'),
        })),
        nextCursor: hasMore ? `${last.index + 1}-${checkpoint.treeSize}` : null,
        checkpoint: checkpoint.note,
        ...(retired === undefined ? {} : { retired }),
      };
    });
  }

  /** What the newest manifest says, so that the entries that are left can be checked without those before them. */
  async #retired(tx: Queryable): Promise<RetiredEntries | undefined> {
    const manifest = await this.#retention.newestManifest(tx);
    if (manifest === undefined) return undefined;
    const { to, frontier, records } = manifest.content;
    return { to, manifest: manifest.index, frontier, records };
  }

  async #position(tx: Queryable, cursor: string | undefined): Promise<{ from: number; checkpoint: StoredCheckpoint }> {
    if (cursor === undefined) {
      const checkpoint = await this.#checkpoints.newest(tx);
      if (checkpoint === undefined) throw new AppError('unavailable', { details: { retryAfterSeconds: 1 } });
      return { from: 0, checkpoint };
    }
    const [, from, size] = /^([0-9]{1,15})-([0-9]{1,15})$/.exec(cursor) ?? [];
    const checkpoint = size === undefined ? undefined : await this.#checkpoints.ofSize(tx, Number(size));
    if (checkpoint === undefined) {
      throw new AppError('validation_failed', {
        details: { violations: [{ pointer: '/cursor', message: 'is not a cursor of this export' }] },
      });
    }
    return { from: Number(from), checkpoint };
  }
}
