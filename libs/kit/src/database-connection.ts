import { readFileSync } from 'node:fs';
import type pg from 'pg';
import type { Secret } from './secret.js';

/** `false`, or TLS with verification against the given authority (the system's when none is given). */
export type DatabaseSsl = false | { readonly caFile?: string };

export const connectTimeoutMs = 1_000;

/** Settings of every connection: nothing waits for ever, whichever side has stopped answering. */
export function clientConfig(url: Secret, schema: string, ssl: DatabaseSsl): pg.ClientConfig {
  return {
    connectionString: url.reveal(),
    ssl: tlsOptions(ssl),
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: 5_000,
    lock_timeout: 2_000,
    idle_in_transaction_session_timeout: 10_000,
    // A server that vanished without a word: past the server's own limit, nobody will answer any more.
    query_timeout: 6_000,
    // A statement goes out without waiting for the answer to the one before: see Tx.send.
    pipeline: true,
    options: `-c search_path=${quoteIdentifier(schema)}`,
  };
}

function tlsOptions(ssl: DatabaseSsl): false | { rejectUnauthorized: true; ca?: string } {
  if (ssl === false) return false;
  return { rejectUnauthorized: true, ...(ssl.caFile === undefined ? {} : { ca: readFileSync(ssl.caFile, 'utf8') }) };
}

/** `DB_SSL` and `DB_SSL_CA_FILE` as {@link DatabaseSsl}. */
export function databaseSsl(env: {
  readonly DB_SSL: boolean;
  readonly DB_SSL_CA_FILE?: string | undefined;
}): DatabaseSsl {
  if (!env.DB_SSL) return false;
  return env.DB_SSL_CA_FILE === undefined ? {} : { caFile: env.DB_SSL_CA_FILE };
}

/** A schema name as SQL. Schema names are ours and plain; anything else is refused rather than escaped. */
export function quoteIdentifier(name: string): string {
  if (!/^[a-z][a-z0-9_]{0,62}$/.test(name))
    throw new TypeError('a schema name is lower-case letters, digits and underscores');
  return `"${name}"`;
}
