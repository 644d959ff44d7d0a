import { quoteIdentifier } from '../database-connection.js';

/** Bytes of one entry; a longer one cannot be stored. */
export const entryBytesMax = 60_000;

/**
 * SQL (several statements) of a service's outbox in `schema`, for its first migration, run by the schema's owner.
 * `role` is the service's login role, by convention named like the schema. It may add entries and read them, and move
 * the relay's cursor; it can neither change nor remove an entry, nor choose an entry's transaction id or position.
 */
export function createOutboxTables(schema: string, role: string = schema): string {
  const s = quoteIdentifier(schema);
  const r = quoteIdentifier(role);
  return `
CREATE TABLE ${s}.outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  event_id uuid NOT NULL,
  type text NOT NULL,
  entry bytea NOT NULL CHECK (octet_length(entry) <= ${String(entryBytesMax)}),
  correlation_id text NOT NULL,
  traceparent text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX outbox_xid_id_idx ON ${s}.outbox (xid, id);
CREATE TABLE ${s}.relay_state (
  source text PRIMARY KEY,
  epoch uuid NOT NULL DEFAULT gen_random_uuid(),
  last_xid xid8 NOT NULL DEFAULT '0',
  last_id bigint NOT NULL DEFAULT 0,
  last_seq bigint NOT NULL DEFAULT 0
);
INSERT INTO ${s}.relay_state (source) VALUES ('${schema}');
GRANT SELECT ON ${s}.outbox TO ${r};
GRANT INSERT (event_id, type, entry, correlation_id, traceparent) ON ${s}.outbox TO ${r};
GRANT SELECT ON ${s}.relay_state TO ${r};
GRANT UPDATE (last_xid, last_id, last_seq) ON ${s}.relay_state TO ${r};
`;
}
