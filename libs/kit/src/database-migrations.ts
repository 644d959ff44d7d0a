import type { MixedList, MigrationInterface } from 'typeorm';
import { DataSource } from 'typeorm';
import { clientConfig } from './database-connection.js';
import type { DatabaseSsl } from './database-connection.js';
import { asUnavailable } from './database-errors.js';
import type { Logger } from './log.js';
import { retryWithin } from './retry.js';
import type { Secret } from './secret.js';

export interface MigrationOptions {
  /** With the role that owns the schema. */
  readonly url: Secret;
  readonly schema: string;
  readonly migrations: MixedList<new () => MigrationInterface>;
  readonly ssl: DatabaseSsl;
  readonly log: Logger;
}

/**
 * Applies the migrations that are still missing, each in its own transaction, recorded in `<schema>.migration`.
 * Several processes may call it at once: one works, the others wait for its advisory lock and then find nothing to do.
 * A crash leaves the finished migrations applied and the current one not.
 */
export async function runMigrations({ url, schema, migrations, ssl, log }: MigrationOptions): Promise<void> {
  const dataSource = new DataSource({
    type: 'postgres',
    url: url.reveal(),
    schema,
    migrations,
    migrationsTableName: 'migration',
    synchronize: false,
    logging: false,
    installExtensions: false,
    poolSize: 2,
    applicationName: `${schema}-migrations`,
    // Building an index takes the time it takes; waiting for the lock of another runner as well.
    extra: { ...clientConfig(url, schema, ssl), statement_timeout: 0, lock_timeout: 0, query_timeout: 0 },
  });
  await retryWithin(30_000, () => dataSource.initialize(), log, 'database.connect_failed').catch((error: unknown) => {
    throw asUnavailable(error);
  });
  const lock = dataSource.createQueryRunner();
  try {
    await lock.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [`migrations:${schema}`]);
    const applied = await dataSource.runMigrations({ transaction: 'each' });
    log.info({ schema, applied: applied.map(({ name }) => name) }, 'database.migrated');
  } catch (error) {
    throw asUnavailable(error);
  } finally {
    // Ends the session, and with it the lock.
    await lock.release();
    await dataSource.destroy();
  }
}
