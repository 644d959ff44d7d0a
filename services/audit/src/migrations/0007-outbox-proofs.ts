import { addOutboxProofs } from '@prime-nest/kit/outbox/proof-migration';
import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The outbox forgets only what the log has proven. */
export class OutboxProofs1766000000008 implements MigrationInterface {
  readonly name = 'OutboxProofs1766000000008';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(addOutboxProofs('audit'));
  }

  down(): Promise<void> {
    return Promise.reject(new Error('migrations go forward only'));
  }
}
