import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Attempts that are being compared stand apart from those that have failed. */
export class LaneCharges1764500000002 implements MigrationInterface {
  readonly name = 'LaneCharges1764500000002';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
-- Attempts charged and not settled yet. The ids are time-ordered: an old one is of a process that died with it.
ALTER TABLE login_lane ADD COLUMN charges uuid[] NOT NULL DEFAULT '{}';
-- The last failure: a success forgives what had failed before it was asked for.
ALTER TABLE login_lane ADD COLUMN failed_at timestamptz;`);
  }

  down(): Promise<void> {
    return Promise.reject(new Error('migrations go forward only'));
  }
}
