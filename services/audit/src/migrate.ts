import { databaseSsl, runMigrations } from '@prime-nest/kit/database';
import { ConfigError } from '@prime-nest/kit/config';
import { exitCode } from '@prime-nest/kit/lifecycle';
import { createLogger } from '@prime-nest/kit/log';
import { readStorageConfig } from './config.js';
import { auditMigrations } from './migrations/list.js';

try {
  const config = readStorageConfig(process.env);
  const log = createLogger({ service: 'audit', level: config.LOG_LEVEL, pretty: config.LOG_PRETTY });
  const url = config.AUDIT_DB_MIGRATION_URL ?? config.AUDIT_DB_URL;
  await runMigrations({ url, schema: 'audit', migrations: auditMigrations, ssl: databaseSsl(config), log });
} catch (error) {
  const isConfig = error instanceof ConfigError;
  console.error(isConfig ? error.message : error);
  process.exitCode = isConfig ? exitCode.configuration : exitCode.failed;
}
