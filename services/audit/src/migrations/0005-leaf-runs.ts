import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The hash of every entry a second time, apart from the entry: what was changed is named by the two that differ. */
export class LeafRuns1766000000006 implements MigrationInterface {
  readonly name = 'LeafRuns1766000000006';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(statements);
  }

  down(): Promise<void> {
    return Promise.reject(new Error('migrations go forward only'));
  }
}

const statements = `
-- The hashes of the entries from first_index on, as one append wrote them.
CREATE TABLE leaf_run (
  first_index bigint PRIMARY KEY CHECK (first_index >= 0),
  hashes bytea NOT NULL CHECK (octet_length(hashes) > 0 AND octet_length(hashes) % 32 = 0)
);
-- Hashes do not get smaller.
ALTER TABLE leaf_run ALTER COLUMN hashes SET STORAGE EXTERNAL;
INSERT INTO leaf_run (first_index, hashes)
  SELECT min(log_index), string_agg(leaf_hash, ''::bytea ORDER BY log_index) FROM event GROUP BY log_index / 256;

CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON leaf_run FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON leaf_run FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE leaf_run ENABLE ALWAYS TRIGGER no_change;
ALTER TABLE leaf_run ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT, INSERT ON leaf_run TO audit;
`;
