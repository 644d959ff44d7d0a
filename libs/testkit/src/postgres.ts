import { randomBytes } from 'node:crypto';
import { bootstrapSchemas, databaseUrl, dropDatabase, serviceUrls } from '@prime-nest/devstack/bootstrap';
import type { DatabaseService } from '@prime-nest/devstack/roles-sql';
import { DataSource } from 'typeorm';
import type { MigrationInterface } from 'typeorm';
import { testPasswords } from './test-run.js';

export interface TestDatabaseOptions {
  readonly service: DatabaseService;
  /** Applied as the schema's owner, as the service's `migrate` does. */
  readonly migrations?: readonly (new () => MigrationInterface)[];
}

export interface TestDatabase {
  readonly name: string;
  readonly schema: DatabaseService;
  /** As the service: what its grants allow, nothing more. */
  readonly url: string;
  /** As the owner of the schema: for migrations, and for a test that has to break something on purpose. */
  readonly ownerUrl: string;
  /** As the superuser, in this database. */
  readonly superuserUrl: string;
  /** Drops the database; sessions that are still connected are ended. */
  drop(): Promise<void>;
}

/** A fresh database of the run's server with the real roles, schemas and grants. */
export async function createTestDatabase({ service, migrations }: TestDatabaseOptions): Promise<TestDatabase> {
  const superuser = process.env['TESTKIT_POSTGRES_URL'];
  if (superuser === undefined) {
    throw new Error('no test server: run through `node scripts/jest.mjs`, in a file named *.int.test.ts');
  }
  const name = `test_${service}_${randomBytes(6).toString('hex')}`;
  await bootstrapSchemas(superuser, name);
  const { url, migrationUrl } = serviceUrls(superuser, { database: name, passwords: testPasswords })[service];
  if (migrations !== undefined) await migrate(migrationUrl, service, migrations);
  return {
    name,
    schema: service,
    url,
    ownerUrl: migrationUrl,
    superuserUrl: databaseUrl(superuser, name),
    drop: () => dropDatabase(superuser, name),
  };
}

async function migrate(url: string, schema: string, migrations: readonly (new () => MigrationInterface)[]) {
  const source = new DataSource({
    type: 'postgres',
    url,
    schema,
    migrations: [...migrations],
    migrationsTableName: 'migration',
    extra: { options: `-c search_path=${schema}` },
  });
  await source.initialize();
  try {
    await source.runMigrations({ transaction: 'each' });
  } finally {
    await source.destroy();
  }
}
