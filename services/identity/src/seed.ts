import { AppError } from '@prime-nest/contracts/errors';
import { bootstrapAdministratorId } from '@prime-nest/contracts/ids';
import { Email } from '@prime-nest/contracts/identity';
import { systemClock } from '@prime-nest/kit/clock';
import { ConfigError } from '@prime-nest/kit/config';
import { serviceContext } from '@prime-nest/kit/context';
import { databaseSsl, openDatabase } from '@prime-nest/kit/database';
import { createOutbox } from '@prime-nest/kit/outbox/outbox';
import { loadCommonPasswords } from './account/common-passwords.store.js';
import { CreateAccount } from './account/create-account.command.js';
import { createPasswordHasher } from './account/password-hasher.worker.js';
import { runTask } from './task.js';

/**
 * Creates the first administrator, unless an account with its id ever existed: running it again changes nothing, and
 * brings nobody back. Its role is rbac's to give.
 */
await runTask(async (config, log) => {
  const { ADMIN_EMAIL, ADMIN_PASSWORD } = config;
  if (ADMIN_EMAIL === undefined || ADMIN_PASSWORD === undefined) {
    throw new ConfigError('identity', ['ADMIN_EMAIL and ADMIN_PASSWORD are required for the seed']);
  }
  const database = await openDatabase({
    url: config.IDENTITY_DB_URL,
    schema: 'identity',
    entities: [],
    ssl: databaseSsl(config),
    poolMax: 2,
    log,
    applicationName: 'identity-seed',
  });
  const hasher = createPasswordHasher({ threads: 1, queueMax: 1 });
  try {
    const clock = systemClock;
    const outbox = createOutbox({ service: 'identity', clock });
    const creation = new CreateAccount({
      database,
      hasher,
      outbox,
      clock,
      commonPasswords: await loadCommonPasswords(),
    });
    const isNew = await creation
      .runOnce(
        {
          id: bootstrapAdministratorId,
          email: Email.parse(ADMIN_EMAIL),
          name: 'Administrator',
          password: ADMIN_PASSWORD.reveal(),
        },
        serviceContext('identity'),
      )
      .catch((error: unknown) => {
        throw refusedPassword(error) ?? error;
      });
    log.info({ isNew }, 'administrator.seeded');
  } finally {
    await hasher.close();
    await database.close();
  }
});

/** A password that breaks the rules is a mistake in the environment, and is told as one. */
function refusedPassword(error: unknown): ConfigError | undefined {
  if (!(error instanceof AppError) || error.code !== 'password_rejected') return undefined;
  return new ConfigError(
    'identity',
    (error.details.violations ?? []).map(({ message }) => `ADMIN_PASSWORD ${message}`),
  );
}
