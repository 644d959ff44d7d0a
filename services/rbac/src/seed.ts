import { readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
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
import { type SeedPolicy, combinePolicies, parsePolicyFile } from './catalog/policy-file.js';
import { seed } from './catalog/seed.command.js';
import { readRbacStorageConfig } from './config.js';
import { createSeedMutator } from './policy/policy.module.js';

const service = 'rbac';

/** Gives a fresh installation its features, permissions, roles and first administrator. Safe to repeat at any time. */
try {
  const config = readRbacStorageConfig(process.env);
  const log = createLogger({ service, level: config.LOG_LEVEL, pretty: config.LOG_PRETTY });
  // All files are read and checked before anything is written.
  const own = combinePolicies(policyFiles(config.RBAC_POLICY_FILE).map(readPolicy));
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
    applied.push(...(await seed(own, options)));
    log.info({ applied }, 'seed.finished');
  } finally {
    await database.close();
  }
} catch (error) {
  const isConfig = error instanceof ConfigError;
  console.error(isConfig ? error.message : error instanceof AppError ? describeError(error) : error);
  process.exitCode = isConfig ? exitCode.configuration : exitCode.failed;
}

/** The file, or every `.json` of the directory: one per service. */
function policyFiles(place: string | undefined): string[] {
  if (place === undefined) return [];
  if (!statSync(place).isDirectory()) return [place];
  const names = readdirSync(place).filter((name) => name.endsWith('.json'));
  return names.sort().map((name) => path.join(place, name));
}

/** Throws `validation_failed` that says in which file. */
function readPolicy(file: string): SeedPolicy {
  try {
    return parsePolicyFile(readFileSync(file, 'utf8'));
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const paths = (error.details.violations ?? []).map(({ pointer, message }) => `${pointer} ${message}`);
    throw new AppError(error.code, { internal: { part: file, paths }, cause: error });
  }
}
