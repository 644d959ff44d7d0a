import type { Queryable } from '../database.js';

/** Where a relay stands in its source: everything up to and including (xid, id) is published as numbers up to seq. */
export interface Cursor {
  readonly epoch: string;
  readonly xid: string;
  readonly id: string;
  readonly seq: bigint;
  /** The position before number 1. */
  readonly firstXid: string;
  readonly firstId: string;
  /** Last number that the log is known to have. */
  readonly receiptSeq: bigint;
}

export interface Entry {
  readonly xid: string;
  readonly id: string;
  /** Gapless per (source, epoch), and the same whoever derives it and however often. */
  readonly seq: bigint;
  readonly eventId: string;
  readonly type: string;
  readonly entry: Buffer;
  readonly correlationId: string;
  readonly traceparent: string;
}

export interface Batch {
  readonly cursor: Cursor;
  readonly entries: readonly Entry[];
}

interface Row {
  readonly epoch: string;
  readonly last_xid: string;
  readonly last_id: string;
  readonly last_seq: string;
  readonly first_xid: string;
  readonly first_id: string;
  readonly receipt_seq: string;
  readonly xid: string | null;
  readonly id: string;
  readonly event_id: string;
  readonly type: string;
  readonly entry: Buffer;
  readonly correlation_id: string;
  readonly traceparent: string;
}

// Cursor, horizon and rows in ONE statement, hence in one snapshot. Below the horizon (the oldest transaction still
// running) no row can appear any more, so the order (xid, id) there is final and numbers can be counted off it. A
// cursor on `id` alone would step over rows of transactions that got their ids early and commit late.
const nextSql = `
  SELECT s.epoch, s.last_xid::text, s.last_id::text, s.last_seq::text, s.first_xid::text, s.first_id::text, s.receipt_seq::text,
         o.xid::text AS xid, o.id::text AS id, o.event_id, o.type, o.entry, o.correlation_id, o.traceparent
    FROM relay_state s
    LEFT JOIN LATERAL (
      SELECT * FROM outbox
       WHERE (xid, id) > (s.last_xid, s.last_id) AND xid < pg_snapshot_xmin(pg_current_snapshot())
       ORDER BY xid, id LIMIT $2) o ON true
   WHERE s.source = $1
   ORDER BY o.xid, o.id`;

// Compare and set: whoever published from the same place has derived the same numbers; only one of them moves on.
const advanceSql = `
  UPDATE relay_state SET last_xid = $4::xid8, last_id = $5::bigint, last_seq = $6::bigint
   WHERE source = $1 AND epoch = $2::uuid AND last_seq = $3::bigint
  RETURNING last_seq`;

/** The next entries after the cursor, at most `entriesMax`, with their numbers. Undefined when the source has no state. */
export async function readBatch(database: Queryable, source: string, entriesMax: number): Promise<Batch | undefined> {
  const rows = await database.query<Row>(nextSql, [source, entriesMax]);
  const [first] = rows;
  if (first === undefined) return undefined;
  const cursor = {
    epoch: first.epoch,
    xid: first.last_xid,
    id: first.last_id,
    seq: BigInt(first.last_seq),
    firstXid: first.first_xid,
    firstId: first.first_id,
    receiptSeq: BigInt(first.receipt_seq),
  };
  const entries = rows
    .filter((row): row is Row & { xid: string } => row.xid !== null)
    .map((row, index) => ({
      xid: row.xid,
      id: row.id,
      seq: cursor.seq + BigInt(index + 1),
      eventId: row.event_id,
      type: row.type,
      entry: row.entry,
      correlationId: row.correlation_id,
      traceparent: row.traceparent,
    }));
  return { cursor, entries };
}

/** Moves the cursor to `last`. False when it was not where `from` says: somebody else has moved it. */
export async function advance(database: Queryable, source: string, from: Cursor, last: Entry): Promise<boolean> {
  const params = [source, from.epoch, String(from.seq), last.xid, last.id, String(last.seq)];
  return (await database.query(advanceSql, params)).length === 1;
}
