import type { EventFilter, LogEntry } from '@prime-nest/contracts/audit';
import { AppError } from '@prime-nest/contracts/errors';
import { AuditEvent } from '@prime-nest/contracts/events';
import type { Queryable } from '@prime-nest/kit/database';
import { filterCondition } from './filter.js';

export interface StoredEntry {
  readonly index: number;
  readonly receivedAt: Date;
  readonly leafHash: Buffer;
  /** The bytes as hashed. */
  readonly bytes: Buffer;
}

interface Row {
  readonly log_index: string;
  readonly received_at: Date;
  readonly leaf_hash: Buffer;
  readonly entry: Buffer;
}

/** The reading side of the log. */
export class EntryStore {
  /** Matching entries below `below` (all when undefined), the newest first, at most `limit`. */
  async search(
    tx: Queryable,
    filter: EventFilter,
    { below, limit }: { below: number | undefined; limit: number },
  ): Promise<StoredEntry[]> {
    const { sql, params } = filterCondition(filter, 3);
    const rows = await tx.query<Row>(
      `SELECT log_index, received_at, leaf_hash, entry FROM event
        WHERE log_index < $1 AND ${sql} ORDER BY log_index DESC LIMIT $2`,
      [below ?? Number.MAX_SAFE_INTEGER, limit, ...params],
    );
    return rows.map(readRow);
  }

  /** Matching entries `from` (inclusive) to `to` (exclusive), the oldest first, at most `limit`. */
  async forward(
    tx: Queryable,
    filter: EventFilter,
    { from, to, limit }: { from: number; to: number; limit: number },
  ): Promise<StoredEntry[]> {
    const { sql, params } = filterCondition(filter, 4);
    const rows = await tx.query<Row>(
      `SELECT log_index, received_at, leaf_hash, entry FROM event
        WHERE log_index >= $1 AND log_index < $2 AND ${sql} ORDER BY log_index LIMIT $3`,
      [from, to, limit, ...params],
    );
    return rows.map(readRow);
  }

  /**
   * The entries that stand for events, by the digest of their bytes: the event itself, or, with its bytes, the entry that
   * says that a message with this digest is in quarantine.
   */
  async standingFor(
    tx: Queryable,
    events: readonly { readonly id: string; readonly sha256: string }[],
  ): Promise<ReadonlyMap<string, { readonly index: number; readonly entry?: Buffer }>> {
    const rows = await tx.query<{ sha256: string; log_index: string; entry: Buffer | null }>(
      `SELECT encode(sha256(entry), 'hex') AS sha256, log_index, NULL::bytea AS entry FROM event
        WHERE event_id = ANY($1::uuid[])
       UNION ALL
       SELECT resource_id, log_index, entry FROM event
        WHERE resource_id = ANY($2::text[]) AND type = 'audit.event.quarantined.v1'`,
      [events.map(({ id }) => id), events.map(({ sha256 }) => sha256)],
    );
    return new Map(
      rows.map(({ sha256, log_index, entry }) => [
        sha256,
        { index: Number(log_index), ...(entry === null ? {} : { entry }) },
      ]),
    );
  }

  async findById(tx: Queryable, eventId: string): Promise<StoredEntry | undefined> {
    const [row] = await tx.query<Row>(
      'SELECT log_index, received_at, leaf_hash, entry FROM event WHERE event_id = $1',
      [eventId],
    );
    return row === undefined ? undefined : readRow(row);
  }

  /** Entries `from` (inclusive) to `to` (exclusive) in log order. */
  async range(tx: Queryable, from: number, to: number): Promise<StoredEntry[]> {
    const rows = await tx.query<Row>(
      'SELECT log_index, received_at, leaf_hash, entry FROM event WHERE log_index >= $1 AND log_index < $2 ORDER BY log_index',
      [from, to],
    );
    return rows.map(readRow);
  }
}

function readRow(row: Row): StoredEntry {
  return { index: Number(row.log_index), receivedAt: row.received_at, leafHash: row.leaf_hash, bytes: row.entry };
}

/**
 * The entry of this event as readers see it. Throws `internal` when the row under that id holds another event: the
 * column is an index, and somebody has changed it.
 */
export function entryOf(id: string, stored: StoredEntry): LogEntry {
  const entry = toLogEntry(stored);
  if (entry.id.toLowerCase() === id.toLowerCase()) return entry;
  throw new AppError('internal', {
    internal: { reason: 'a row holds another event than its id says', index: stored.index },
  });
}

/**
 * The entry as readers see it, from the bytes that were hashed and from nothing else. Throws `internal` when they are
 * not an event any more: the row was altered.
 */
export function toLogEntry({ index, receivedAt, bytes }: StoredEntry): LogEntry {
  try {
    const event: Omit<AuditEvent, 'schema'> & { schema?: string } = AuditEvent.parse(
      JSON.parse(bytes.toString('utf8')),
    );
    delete event.schema;
    return { ...event, index, receivedAt: receivedAt.toISOString() };
  } catch (cause) {
    throw new AppError('internal', { internal: { reason: 'a stored entry is not an event', index }, cause });
  }
}
