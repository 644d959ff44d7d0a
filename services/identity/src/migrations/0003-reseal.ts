import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Session keys can be sealed anew when the key-encryption key is replaced. */
export class Reseal1700000000003 implements MigrationInterface {
  readonly name = 'Reseal1700000000003';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('GRANT UPDATE (sealed_key) ON session TO identity');
  }

  down(): Promise<void> {
    return Promise.reject(new Error('migrations go forward only'));
  }
}
