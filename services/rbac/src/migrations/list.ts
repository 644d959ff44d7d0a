import { Init0001 } from './0001-init.js';
import { OutboxReceipts1764500000002 } from './0002-outbox-receipts.js';
import { OutboxProofs1766000000001 } from './0003-outbox-proofs.js';

/** Every migration, oldest first. */
export const rbacMigrations = [Init0001, OutboxReceipts1764500000002, OutboxProofs1766000000001] as const;
