import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Numberings that their source has given up: what waits in them for a missing number is not waited for any longer. */
export class AbandonedEpochs1766000000007 implements MigrationInterface {
  readonly name = 'AbandonedEpochs1766000000007';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(statements);
  }

  down(): Promise<void> {
    return Promise.reject(new Error('migrations go forward only'));
  }
}

const statements = `
-- log_index is the entry in which the source says so.
CREATE TABLE abandoned_epoch (
  source text NOT NULL,
  epoch text NOT NULL,
  log_index bigint NOT NULL,
  PRIMARY KEY (source, epoch)
);
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON abandoned_epoch FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON abandoned_epoch FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE abandoned_epoch ENABLE ALWAYS TRIGGER no_change;
ALTER TABLE abandoned_epoch ENABLE ALWAYS TRIGGER no_truncate;
GRANT SELECT, INSERT ON abandoned_epoch TO audit;
`;
