import { createOutboxTables } from '@prime-nest/kit/outbox/outbox-migration';
import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The log, append-only by privileges first: the service's role may add entries and read them, and move the two
 * watermarks; nothing grants it UPDATE, DELETE or TRUNCATE on what is recorded, nor any DDL. Triggers second: they
 * also stop the owner until he switches them off. What neither stops, the tree and its checkpoints show.
 */
export class Init1764000000000 implements MigrationInterface {
  readonly name = 'Init1764000000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(tables);
    await runner.query(appendOnly);
    await runner.query(partitions);
    await runner.query(grants);
    await runner.query(createOutboxTables('audit'));
  }

  down(): Promise<void> {
    return Promise.reject(new Error('migrations go forward only'));
  }
}

const tables = `
-- One row: the state of the tree. Its lock is what makes the sequencer the only writer.
CREATE TABLE log_state (
  id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
  tree_size bigint NOT NULL DEFAULT 0 CHECK (tree_size >= 0),
  root bytea NOT NULL DEFAULT sha256('') CHECK (octet_length(root) = 32),
  frontier bytea NOT NULL DEFAULT '' CHECK (octet_length(frontier) % 32 = 0),
  -- First index without a partition, and how many a partition holds: only add_event_partition() moves the former.
  partition_end bigint NOT NULL DEFAULT 0,
  partition_rows bigint NOT NULL DEFAULT 1048576 CHECK (partition_rows % 256 = 0)
);
INSERT INTO log_state DEFAULT VALUES;

-- How far each source's gapless sequence has been taken.
CREATE TABLE source_state (
  source text NOT NULL,
  epoch text NOT NULL,
  last_seq bigint NOT NULL CHECK (last_seq > 0),
  last_leaf bytea NOT NULL CHECK (octet_length(last_leaf) = 32),
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (source, epoch)
);

-- entry is the evidence, byte for byte as hashed; every other column is an index over it and can be rebuilt.
CREATE TABLE event (
  log_index bigint NOT NULL CHECK (log_index >= 0),
  event_id uuid NOT NULL,
  received_at timestamptz NOT NULL,
  occurred_at timestamptz NOT NULL,
  source text NOT NULL,
  epoch text,
  source_seq bigint,
  type text NOT NULL,
  actor_type text NOT NULL,
  actor_id text,
  action text NOT NULL,
  resource_type text NOT NULL,
  resource_id text,
  outcome text NOT NULL,
  trace_id text NOT NULL,
  span_id text NOT NULL,
  correlation_id text NOT NULL,
  leaf_hash bytea NOT NULL CHECK (octet_length(leaf_hash) = 32),
  entry bytea NOT NULL CHECK (octet_length(entry) <= 60000),
  PRIMARY KEY (log_index)
) PARTITION BY RANGE (log_index);
CREATE INDEX event_actor_idx ON event (actor_id, log_index);
CREATE INDEX event_resource_idx ON event (resource_id, log_index);
CREATE INDEX event_action_idx ON event (action, log_index);
CREATE INDEX event_trace_idx ON event (trace_id, log_index);
CREATE INDEX event_correlation_idx ON event (correlation_id, log_index);
CREATE INDEX event_occurred_idx ON event (occurred_at, log_index);
CREATE INDEX event_refused_idx ON event (outcome, log_index) WHERE outcome <> 'success';
CREATE INDEX event_received_idx ON event USING brin (received_at);

-- Messages that could not become entries, as they came. Each has an entry of its own that says so.
CREATE TABLE quarantine (
  log_index bigint PRIMARY KEY,
  received_at timestamptz NOT NULL,
  reason text NOT NULL,
  subject text NOT NULL,
  source text NOT NULL,
  epoch text NOT NULL,
  source_seq text NOT NULL,
  fingerprint bytea NOT NULL UNIQUE CHECK (octet_length(fingerprint) = 32),
  raw bytea NOT NULL
);

-- Roots of the complete subtrees of 256^level leaves: with the leaf hashes, all that tiles and proofs are made of.
CREATE TABLE tree_node (
  level smallint NOT NULL CHECK (level > 0),
  node_index bigint NOT NULL CHECK (node_index >= 0),
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),
  PRIMARY KEY (level, node_index)
);

-- Every tree that was signed, with the right edge from which the next one must grow.
CREATE TABLE checkpoint (
  tree_size bigint PRIMARY KEY CHECK (tree_size >= 0),
  root bytea NOT NULL CHECK (octet_length(root) = 32),
  frontier bytea NOT NULL,
  note text NOT NULL,
  signed_at timestamptz NOT NULL
);
`;

const appendOnly = `
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the log only grows: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['event', 'quarantine', 'tree_node', 'checkpoint'] LOOP
    EXECUTE format('CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
    EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
    -- ALWAYS: an ordinary trigger is skipped under session_replication_role = replica.
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_change', name);
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_truncate', name);
  END LOOP;
END $$;
`;

const partitions = `
-- Runs as the owner, because the service's role may not create tables. It takes no arguments and keeps at most two
-- partitions ahead of the log, so there is nothing to gain by calling it out of turn. Attaching an existing table
-- leaves readers and writers of the log alone, which CREATE ... PARTITION OF would not.
CREATE FUNCTION add_event_partition() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = audit, pg_temp AS $$
DECLARE
  state log_state;
  name text;
BEGIN
  SELECT * INTO state FROM log_state FOR UPDATE;
  IF state.partition_end >= state.tree_size + 2 * state.partition_rows THEN
    RETURN state.partition_end;
  END IF;
  name := 'event_p' || state.partition_end;
  EXECUTE format('CREATE TABLE %I (LIKE event INCLUDING ALL)', name);
  -- An index over all partitions could not be unique without log_index; the sequencer looks an id up in each.
  EXECUTE format('CREATE UNIQUE INDEX %I ON %I (event_id)', name || '_once', name);
  EXECUTE format('ALTER TABLE event ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', name, state.partition_end, state.partition_end + state.partition_rows);
  -- TRUNCATE of a partition does not fire the parent's trigger.
  EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
  EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_truncate', name);
  EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_change', name);
  UPDATE log_state SET partition_end = state.partition_end + state.partition_rows RETURNING partition_end INTO state.partition_end;
  RETURN state.partition_end;
END $$;
REVOKE ALL ON FUNCTION add_event_partition() FROM PUBLIC;
SELECT add_event_partition();
`;

const grants = `
GRANT SELECT ON log_state, source_state, event, quarantine, tree_node, checkpoint TO audit;
GRANT INSERT ON event, quarantine, tree_node, checkpoint, source_state TO audit;
GRANT UPDATE (tree_size, root, frontier) ON log_state TO audit;
GRANT UPDATE (last_seq, last_leaf, updated_at) ON source_state TO audit;
GRANT EXECUTE ON FUNCTION add_event_partition() TO audit;
`;
