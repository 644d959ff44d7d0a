import type { Queryable } from '../database.js';
import type { Cursor } from './batch.js';

interface Place {
  readonly xid: string;
  readonly id: string;
  readonly seq: bigint;
}

interface Receipted {
  readonly source: string;
  readonly cursor: Cursor;
  readonly sequence: number;
}

/** Remembers how far the log has come and what it has signed. Nothing happens when the cursor has moved meanwhile. */
export async function keepReceipt(
  database: Queryable,
  { source, cursor, sequence, checkpoint }: Receipted & { readonly checkpoint: string | null },
): Promise<void> {
  const place = await placeOf(database, cursor, BigInt(sequence));
  if (place?.seq !== BigInt(sequence)) return;
  await database.query(
    `UPDATE relay_state SET receipt_seq = $4, receipt_xid = $5::xid8, receipt_id = $6,
            receipt_checkpoint = COALESCE($7, receipt_checkpoint)
      WHERE source = $1 AND epoch = $2 AND last_seq = $3 AND receipt_seq < $4`,
    [source, cursor.epoch, String(cursor.seq), sequence, place.xid, place.id, checkpoint],
  );
}

/**
 * Moves the cursor back to `sequence`, or to the oldest entry that is still there. Answers where it stands, undefined
 * when somebody else has moved it.
 */
export async function rewind(
  database: Queryable,
  { source, cursor, sequence }: Receipted,
): Promise<bigint | undefined> {
  const place = (await placeOf(database, cursor, BigInt(sequence))) ?? (await oldestPlace(database, cursor));
  // The receipt is set back as well: what the log has lost again must not be forgotten here.
  const rows = await database.query(
    `UPDATE relay_state SET last_seq = $4, last_xid = $5::xid8, last_id = $6, receipt_seq = LEAST(receipt_seq, $4),
            receipt_xid = CASE WHEN receipt_seq > $4 THEN $5::xid8 ELSE receipt_xid END,
            receipt_id = CASE WHEN receipt_seq > $4 THEN $6 ELSE receipt_id END
      WHERE source = $1 AND epoch = $2 AND last_seq = $3 RETURNING last_seq`,
    [source, cursor.epoch, String(cursor.seq), String(place.seq), place.xid, place.id],
  );
  return rows.length === 1 ? place.seq : undefined;
}

/** Forgets at most `rowsMax` receipted entries that are old enough. Answers how many. */
export async function prune(database: Queryable, rowsMax: number): Promise<number> {
  const [row] = await database.query<{ pruned: string }>('SELECT prune_outbox($1) AS pruned', [rowsMax]);
  return Number(row?.pruned ?? 0);
}

/**
 * Where a published number stands. Numbers are gapless, so it is found by counting back from the cursor. The order is by
 * the columns: a bare name would mean the text that is answered, in which 1000 comes before 999.
 */
async function placeOf(database: Queryable, cursor: Cursor, seq: bigint): Promise<Place | undefined> {
  if (seq === cursor.seq) return { xid: cursor.xid, id: cursor.id, seq };
  if (seq === 0n) return { xid: cursor.firstXid, id: cursor.firstId, seq };
  const [row] = await database.query<{ xid: string; id: string }>(
    `SELECT xid::text, id::text FROM outbox WHERE (xid, id) <= ($1::xid8, $2::bigint)
      ORDER BY outbox.xid DESC, outbox.id DESC OFFSET $3 LIMIT 1`,
    [cursor.xid, cursor.id, String(cursor.seq - seq)],
  );
  return row === undefined ? undefined : { ...row, seq };
}

/** The position before the oldest entry of this epoch that is still there. */
async function oldestPlace(database: Queryable, cursor: Cursor): Promise<Place> {
  const [row] = await database.query<{ xid: string | null; id: string | null; count: string }>(
    `SELECT count(*)::text AS count, (array_agg(xid::text ORDER BY xid, id))[1] AS xid,
            (array_agg((id - 1)::text ORDER BY xid, id))[1] AS id
       FROM outbox WHERE (xid, id) <= ($1::xid8, $2::bigint) AND (xid, id) > ($3::xid8, $4::bigint)`,
    [cursor.xid, cursor.id, cursor.firstXid, cursor.firstId],
  );
  const seq = cursor.seq - BigInt(row?.count ?? 0);
  return { xid: row?.xid ?? cursor.xid, id: row?.id ?? cursor.id, seq };
}
