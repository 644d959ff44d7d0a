import { ConfigError } from '@prime-nest/kit/config';
import { databaseSsl, runMigrations } from '@prime-nest/kit/database';
import type { Logger } from '@prime-nest/kit/log';
import type { IdentityStorageConfig } from '../config.js';
import { Init1700000000001 } from './0001-init.js';
import { GatewayMembers1700000000002 } from './0002-gateway-members.js';
import { Reseal1700000000003 } from './0003-reseal.js';
import { OutboxReceipts1764500000001 } from './0004-outbox-receipts.js';
import { LaneCharges1764500000002 } from './0005-lane-charges.js';
import { OutboxProofs1766000000002 } from './0006-outbox-proofs.js';

/** In order; a released one is never changed. */
export const migrations = [
  Init1700000000001,
  GatewayMembers1700000000002,
  Reseal1700000000003,
  OutboxReceipts1764500000001,
  LaneCharges1764500000002,
  OutboxProofs1766000000002,
];

/** Applies what is missing, as the role that owns the schema. */
export async function migrate(config: IdentityStorageConfig, log: Logger): Promise<void> {
  const url = config.IDENTITY_DB_MIGRATION_URL;
  if (url === undefined) throw new ConfigError('identity', ['IDENTITY_DB_MIGRATION_URL is required']);
  await runMigrations({ url, schema: 'identity', migrations, ssl: databaseSsl(config), log });
}
