import { quoteIdentifier } from '../database-connection.js';

/** How long an entry stays in the outbox at least, although the log has it: the log may be set back to a backup. */
const keptFor = '72 hours';

/**
 * SQL (several statements) that lets the outbox of `schema` forget what the log has receipted, for a migration after
 * the one with `createOutboxTables`, run by the schema's owner. The service's role still holds no UPDATE and no DELETE
 * on the outbox: it records receipts, and calls two functions of the owner's, neither of which takes a position.
 */
export function addOutboxReceipts(schema: string, role: string = schema): string {
  const s = quoteIdentifier(schema);
  const r = quoteIdentifier(role);
  return `
ALTER TABLE ${s}.relay_state
  -- The database that the numbering was made in; null until a relay has looked.
  ADD COLUMN origin text,
  -- The position before number 1 of this epoch.
  ADD COLUMN first_xid xid8 NOT NULL DEFAULT '0',
  ADD COLUMN first_id bigint NOT NULL DEFAULT 0,
  -- Everything up to here is in the log, as a receipt of this epoch says.
  ADD COLUMN receipt_seq bigint NOT NULL DEFAULT 0,
  ADD COLUMN receipt_xid xid8 NOT NULL DEFAULT '0',
  ADD COLUMN receipt_id bigint NOT NULL DEFAULT 0,
  -- The signed state of the log at that time: kept here, it tells a rewritten log from the one that was shown.
  ADD COLUMN receipt_checkpoint text;
GRANT UPDATE (origin, receipt_seq, receipt_xid, receipt_id, receipt_checkpoint) ON ${s}.relay_state TO ${r};

-- Forgets the oldest entries, at most rows_max, that are receipted and old enough. Always a prefix in the order of
-- numbering: a position is found by counting entries back from the cursor.
CREATE FUNCTION ${s}.prune_outbox(rows_max integer) RETURNS bigint
  LANGUAGE sql SECURITY DEFINER SET search_path = ${s}, pg_temp AS $$
  WITH oldest AS (
    SELECT o.xid, o.id, o.created_at < clock_timestamp() - interval '${keptFor}' AS is_old
      FROM relay_state r JOIN outbox o
        ON (o.xid, o.id) <= (r.receipt_xid, r.receipt_id) AND (o.xid, o.id) <= (r.last_xid, r.last_id)
     WHERE r.source = '${schema}' ORDER BY o.xid, o.id LIMIT rows_max
  ), prefix AS (
    SELECT xid, id, bool_and(is_old) OVER (ORDER BY xid, id) AS is_old FROM oldest
  ), pruned AS (
    DELETE FROM outbox o USING prefix p WHERE p.is_old AND (o.xid, o.id) = (p.xid, p.id) RETURNING 1
  )
  SELECT count(*) FROM pruned
$$;
REVOKE ALL ON FUNCTION ${s}.prune_outbox(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ${s}.prune_outbox(integer) TO ${r};

-- Starts a new numbering. With is_foreign the transaction ids in the outbox are another server's and compare with
-- nothing here: every entry that is there is put before all new ones (2 is less than any ordinary transaction id) and
-- published again; the lock keeps out entries that are being written. Otherwise it goes on after the last receipt.
CREATE FUNCTION ${s}.restart_outbox(origin_now text, is_foreign boolean) RETURNS uuid
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = ${s}, pg_temp AS $$
DECLARE started uuid;
BEGIN
  IF is_foreign THEN
    LOCK TABLE outbox IN SHARE ROW EXCLUSIVE MODE;
    UPDATE outbox SET xid = '2' WHERE xid <> '2';
  END IF;
  UPDATE relay_state SET
    epoch = gen_random_uuid(), origin = origin_now, last_seq = 0, receipt_seq = 0,
    first_xid = CASE WHEN is_foreign THEN '0' ELSE receipt_xid END,
    first_id = CASE WHEN is_foreign THEN 0 ELSE receipt_id END,
    last_xid = CASE WHEN is_foreign THEN '0' ELSE receipt_xid END,
    last_id = CASE WHEN is_foreign THEN 0 ELSE receipt_id END,
    receipt_xid = CASE WHEN is_foreign THEN '0' ELSE receipt_xid END,
    receipt_id = CASE WHEN is_foreign THEN 0 ELSE receipt_id END
   WHERE source = '${schema}' RETURNING epoch INTO started;
  RETURN started;
END $$;
REVOKE ALL ON FUNCTION ${s}.restart_outbox(text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ${s}.restart_outbox(text, boolean) TO ${r};
`;
}
