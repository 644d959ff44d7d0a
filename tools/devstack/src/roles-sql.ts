/** The services that own a schema; each has a role that owns it and a role that serves. */
export const databaseServices = ['identity', 'rbac', 'audit'] as const;
export type DatabaseService = (typeof databaseServices)[number];

export const databaseName = 'prime_nest';

/** Every login role: `<service>_owner` runs migrations, `<service>` serves. */
export const databaseRoles = databaseServices.flatMap((service) => [`${service}_owner`, service] as const);
export type DatabaseRole = DatabaseService | `${DatabaseService}_owner`;

/** The environment variable, and the psql variable, that carry a role's password. */
export function passwordVariable(role: DatabaseRole): string {
  return `${role.toUpperCase()}_DB_PASSWORD`;
}

/**
 * Login roles without any power over the server. Running it again resets the passwords and takes back powers that
 * somebody added. `password` gives the SQL expression of a role's password.
 */
export function rolesStatements(password: (role: DatabaseRole) => string): string[] {
  return databaseRoles.flatMap((role) => [
    `DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${role}') THEN CREATE ROLE ${role}; END IF; END $$;`,
    `ALTER ROLE ${role} WITH LOGIN NOCREATEDB NOCREATEROLE INHERIT PASSWORD ${password(role)};`,
    `ALTER ROLE ${role} SET search_path = ${role.replace('_owner', '')};`,
  ]);
}

/** Inside the database: one schema per service, closed to everybody else, and nothing for PUBLIC. */
export function schemasStatements(database: string): string[] {
  return [
    `REVOKE ALL ON DATABASE ${database} FROM PUBLIC;`,
    'REVOKE ALL ON SCHEMA public FROM PUBLIC;',
    ...databaseServices.flatMap((service) => [
      // Only a superuser may give a schema to a role it is no member of.
      `DO $$ BEGIN IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN GRANT ${service}_owner TO CURRENT_USER; END IF; END $$;`,
      `GRANT CONNECT ON DATABASE ${database} TO ${service}_owner, ${service};`,
      `CREATE SCHEMA IF NOT EXISTS ${service} AUTHORIZATION ${service}_owner;`,
      `REVOKE ALL ON SCHEMA ${service} FROM PUBLIC;`,
      `GRANT USAGE ON SCHEMA ${service} TO ${service};`,
    ]),
  ];
}

/** The same for psql: `psql -f deploy/postgres/roles.sql`, as a role that may create roles and databases. */
export function rolesSql(): string {
  const variables = databaseRoles.map((role) => `\\getenv ${passwordVariable(role)} ${passwordVariable(role)}`);
  return [
    '-- Roles, database and schemas of Prime Nest. Running it again is safe; it sets the passwords anew.',
    '-- Generated from tools/devstack/src/roles-sql.ts by `npm run gen`.',
    '-- Passwords come from the environment, or from psql -v NAME=...; a missing one is an error:',
    ...databaseRoles.map((role) => `--   ${passwordVariable(role)}`),
    '\\set ON_ERROR_STOP on',
    ...variables,
    '',
    ...rolesStatements((role) => `:'${passwordVariable(role)}'`),
    '',
    `SELECT 'CREATE DATABASE ${databaseName}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '${databaseName}') \\gexec`,
    `\\connect ${databaseName}`,
    '',
    ...schemasStatements(databaseName),
    '',
  ].join('\n');
}
