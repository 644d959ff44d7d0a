import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Room for what stays of entries that are retired: their hashes, so that the tree is whole without them. */
export class Retirement1765000000005 implements MigrationInterface {
  readonly name = 'Retirement1765000000005';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(statements);
  }

  down(): Promise<void> {
    return Promise.reject(new Error('migrations go forward only'));
  }
}

const statements = `
-- Ranges of entries that are not in event any more, each with the entry that says so. Only the owner retires.
CREATE TABLE retired_range (
  to_index bigint PRIMARY KEY,
  from_index bigint NOT NULL UNIQUE CHECK (from_index >= 0 AND from_index < to_index),
  manifest_index bigint NOT NULL UNIQUE CHECK (manifest_index >= to_index)
);

-- Their leaf hashes, 256 in a row.
CREATE TABLE retired_tile (
  tile_index bigint PRIMARY KEY CHECK (tile_index >= 0),
  hashes bytea NOT NULL CHECK (octet_length(hashes) = 8192)
);
-- Hashes do not get smaller.
ALTER TABLE retired_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['retired_range', 'retired_tile'] LOOP
    EXECUTE format('CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
    EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_change', name);
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_truncate', name);
  END LOOP;
END $$;

GRANT SELECT ON retired_range, retired_tile TO audit;
`;
