import { addOutboxReceipts } from '@prime-nest/kit/outbox/receipt-migration';
import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The outbox forgets what the log has receipted, and notices when its database was set back. */
export class OutboxReceipts1764500000002 implements MigrationInterface {
  readonly name = 'OutboxReceipts1764500000002';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(addOutboxReceipts('rbac'));
  }

  down(): Promise<void> {
    return Promise.reject(new Error('migrations go forward only'));
  }
}
