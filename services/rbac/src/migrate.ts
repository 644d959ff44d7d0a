import { ConfigError } from '@prime-nest/kit/config';
import { databaseSsl, runMigrations } from '@prime-nest/kit/database';
import { exitCode } from '@prime-nest/kit/lifecycle';
import { createLogger } from '@prime-nest/kit/log';
import { readRbacStorageConfig } from './config.js';
import { rbacMigrations } from './migrations/list.js';

/** Applies the migrations that are missing, as the owner of the schema where one is configured. */
try {
  const config = readRbacStorageConfig(process.env);
  const log = createLogger({ service: 'rbac', level: config.LOG_LEVEL, pretty: config.LOG_PRETTY });
  const url = config.RBAC_DB_MIGRATION_URL ?? config.RBAC_DB_URL;
  await runMigrations({ url, schema: 'rbac', migrations: [...rbacMigrations], ssl: databaseSsl(config), log });
} catch (error) {
  const isConfig = error instanceof ConfigError;
  console.error(isConfig ? error.message : error);
  process.exitCode = isConfig ? exitCode.configuration : exitCode.failed;
}
