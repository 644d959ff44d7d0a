import { readFileSync } from 'node:fs';
import { AppError } from '@prime-nest/contracts/errors';
import { bootstrapAdministratorId } from '@prime-nest/contracts/ids';
import { systemClock } from '@prime-nest/kit/clock';
import { ConfigError } from '@prime-nest/kit/config';
import { serviceContext } from '@prime-nest/kit/context';
import { databaseSsl, openDatabase } from '@prime-nest/kit/database';
import { newId } from '@prime-nest/kit/ids';
import { exitCode } from '@prime-nest/kit/lifecycle';
import { createLogger, describeError } from '@prime-nest/kit/log';
import { createOutbox } from '@prime-nest/kit/outbox/outbox';
import { defaultPolicy } from './catalog/default-policy.js';
import { parsePolicyFile } from './catalog/policy-file.js';
import { seed } from './catalog/seed.command.js';
import { readRbacStorageConfig } from './config.js';
import { createSeedMutator } from './policy/policy.module.js';

const service = 'rbac';

/** Gives a fresh installation its features, permissions, roles and first administrator. Safe to repeat at any time. */
try {
  const config = readRbacStorageConfig(process.env);
  const log = createLogger({ service, level: config.LOG_LEVEL, pretty: config.LOG_PRETTY });
  const file = config.RBAC_POLICY_FILE;
  const own = file === undefined ? undefined : parsePolicyFile(readFileSync(file, 'utf8'));
  const database = await openDatabase({
    url: config.RBAC_DB_URL,
    schema: service,
    entities: [],
    ssl: databaseSsl(config),
    poolMax: config.DB_POOL_MAX,
    log,
    applicationName: `${service}-seed`,
  });
  try {
    const outbox = createOutbox({ service, clock: systemClock });
    const mutator = await createSeedMutator({ database, outbox, log });
    const context = serviceContext(service);
    const options = { database, mutator, newId, context, administratorId: bootstrapAdministratorId };
    const applied = await seed(defaultPolicy, options);
    if (own !== undefined) applied.push(...(await seed(own, options)));
    log.info({ applied }, 'seed.finished');
  } finally {
    await database.close();
  }
} catch (error) {
  const isConfig = error instanceof ConfigError;
  console.error(isConfig ? error.message : error instanceof AppError ? describeError(error) : error);
  process.exitCode = isConfig ? exitCode.configuration : exitCode.failed;
}
