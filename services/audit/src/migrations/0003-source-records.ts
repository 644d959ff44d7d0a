import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What the log needs to write down which entry is which number of its source. */
export class SourceRecords1764500000004 implements MigrationInterface {
  readonly name = 'SourceRecords1764500000004';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(statements);
  }

  down(): Promise<void> {
    return Promise.reject(new Error('migrations go forward only'));
  }
}

const statements = `
-- Entries below it are accounted for by a record in the log; so are a source's numbers up to recorded_seq.
ALTER TABLE log_state ADD COLUMN recorded_size bigint NOT NULL DEFAULT 0;
ALTER TABLE source_state ADD COLUMN recorded_seq bigint NOT NULL DEFAULT 0;

-- Numbers that were taken without an entry of their own, and the entry that speaks for them.
CREATE TABLE source_number (
  source text NOT NULL,
  epoch text NOT NULL,
  source_seq bigint NOT NULL,
  kind text NOT NULL CHECK (kind IN ('quarantined', 'repeated')),
  log_index bigint NOT NULL,
  PRIMARY KEY (source, epoch, source_seq)
);
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON source_number FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON source_number FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE source_number ENABLE ALWAYS TRIGGER no_change;
ALTER TABLE source_number ENABLE ALWAYS TRIGGER no_truncate;

GRANT SELECT, INSERT ON source_number TO audit;
GRANT UPDATE (recorded_size) ON log_state TO audit;
GRANT UPDATE (recorded_seq) ON source_state TO audit;
`;
