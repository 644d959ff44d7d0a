import pg from 'pg';
import { databaseRoles, type databaseServices, rolesStatements, schemasStatements } from './roles-sql.js';
import type { DatabaseRole } from './roles-sql.js';

export type RolePasswords = Readonly<Record<DatabaseRole, string>>;

export interface BootstrapOptions {
  readonly database: string;
  readonly passwords: RolePasswords;
}

/** What one service connects with: `migrationUrl` as the schema's owner, `url` as the service itself. */
export interface ServiceUrls {
  readonly url: string;
  readonly migrationUrl: string;
}

/**
 * Makes the roles, the database and its schemas, or brings existing ones to that state; running it again changes
 * nothing but the passwords. `superuserUrl` is a role that may create roles and databases.
 */
export async function bootstrapDatabase(superuserUrl: string, options: BootstrapOptions): Promise<void> {
  await bootstrapRoles(superuserUrl, options.passwords);
  await bootstrapSchemas(superuserUrl, options.database);
}

/** The roles alone, which all databases of a server share. Two at once wait for each other. */
export async function bootstrapRoles(superuserUrl: string, passwords: RolePasswords): Promise<void> {
  await withClient(superuserUrl, async (client) => {
    await client.query('BEGIN');
    // Two sessions that alter one role at the same time fail with "tuple concurrently updated".
    await client.query("SELECT pg_advisory_xact_lock(hashtext('prime-nest roles'))");
    for (const sql of rolesStatements((role) => client.escapeLiteral(passwords[role]))) await client.query(sql);
    await client.query('COMMIT');
  });
}

/** The database, when it is absent, and its schemas and grants. */
export async function bootstrapSchemas(superuserUrl: string, database: string): Promise<void> {
  const name = pg.escapeIdentifier(database);
  await withClient(superuserUrl, async (client) => {
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [database]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${name}`);
  });
  await withClient(databaseUrl(superuserUrl, database), async (client) => {
    await client.query(`BEGIN; ${schemasStatements(name).join('\n')} COMMIT;`);
  });
}

/** Drops the database and ends whoever is still connected to it. */
export async function dropDatabase(superuserUrl: string, database: string): Promise<void> {
  await withClient(superuserUrl, async (client) => {
    await client.query(`DROP DATABASE IF EXISTS ${pg.escapeIdentifier(database)} WITH (FORCE)`);
  });
}

export function serviceUrls(
  superuserUrl: string,
  { database, passwords }: BootstrapOptions,
): Readonly<Record<(typeof databaseServices)[number], ServiceUrls>> {
  const as = (role: DatabaseRole): string =>
    databaseUrl(superuserUrl, database, { user: role, password: passwords[role] });
  return {
    identity: { url: as('identity'), migrationUrl: as('identity_owner') },
    rbac: { url: as('rbac'), migrationUrl: as('rbac_owner') },
    audit: { url: as('audit'), migrationUrl: as('audit_owner') },
  };
}

/** One password per role, from whatever makes one. */
export function rolePasswords(make: (role: DatabaseRole) => string): RolePasswords {
  return Object.fromEntries(databaseRoles.map((role) => [role, make(role)])) as Record<DatabaseRole, string>;
}

/** The same server with another database and, when given, other credentials. */
export function databaseUrl(base: string, database: string, credentials?: { user: string; password: string }): string {
  const url = new URL(base);
  url.pathname = `/${encodeURIComponent(database)}`;
  if (credentials !== undefined) {
    url.username = encodeURIComponent(credentials.user);
    url.password = encodeURIComponent(credentials.password);
  }
  return url.href;
}

async function withClient<T>(connectionString: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 5000 });
  // The server's farewell ("terminated by administrator") also arrives as an event, which must not end the process.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
