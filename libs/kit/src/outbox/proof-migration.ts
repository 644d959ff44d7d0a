import { quoteIdentifier } from '../database-connection.js';

/**
 * SQL (several statements) that lets the outbox of `schema` forget only what the log has proven, for a migration after
 * the one with `addOutboxReceipts`, run by the schema's owner.
 */
export function addOutboxProofs(schema: string, role: string = schema): string {
  const s = quoteIdentifier(schema);
  const r = quoteIdentifier(role);
  return `
-- The newest checkpoint whose signature, and whose growth out of the one before, this source has verified.
ALTER TABLE ${s}.relay_state ADD COLUMN proven_checkpoint text;
GRANT UPDATE (proven_checkpoint) ON ${s}.relay_state TO ${r};

-- The oldest entries, at most rows_max, that are receipted and old enough to be forgotten: a prefix in the order of
-- numbering. How old is a matter of prune_outbox(), of which this is the reading half.
CREATE FUNCTION ${s}.prunable_outbox(rows_max integer) RETURNS TABLE (xid xid8, id bigint, event_id uuid, entry bytea)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ${s}, pg_temp AS $$
  SELECT p.xid, p.id, p.event_id, p.entry FROM (
    SELECT o.xid, o.id, o.event_id, o.entry,
           bool_and(o.created_at < clock_timestamp() - interval '72 hours') OVER (ORDER BY o.xid, o.id) AS is_old
      FROM (SELECT o.* FROM relay_state r JOIN outbox o
              ON (o.xid, o.id) <= (r.receipt_xid, r.receipt_id) AND (o.xid, o.id) <= (r.last_xid, r.last_id)
             WHERE r.source = '${schema}' ORDER BY o.xid, o.id LIMIT rows_max) o) p
   WHERE p.is_old ORDER BY p.xid, p.id
$$;
REVOKE ALL ON FUNCTION ${s}.prunable_outbox(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ${s}.prunable_outbox(integer) TO ${r};

-- Forgets of them those up to the position, and no others whatever position it is given.
CREATE FUNCTION ${s}.prune_outbox_to(last_xid xid8, last_id bigint) RETURNS bigint
  LANGUAGE sql SECURITY DEFINER SET search_path = ${s}, pg_temp AS $$
  WITH pruned AS (
    DELETE FROM outbox o USING prunable_outbox(5000) p
     WHERE (o.xid, o.id) = (p.xid, p.id) AND (p.xid, p.id) <= ($1, $2) RETURNING 1
  )
  SELECT count(*) FROM pruned
$$;
REVOKE ALL ON FUNCTION ${s}.prune_outbox_to(xid8, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ${s}.prune_outbox_to(xid8, bigint) TO ${r};
`;
}
