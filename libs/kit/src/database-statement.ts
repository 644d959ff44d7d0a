import type { Writable } from 'node:stream';
import { AppError } from '@prime-nest/contracts/errors';
import type pg from 'pg';
import type { QueryRunner } from 'typeorm';
import { asUnavailable } from './database-errors.js';

/** A statement that each connection parses and plans once, under a name of its own; its span has that name too. */
export interface Prepared {
  readonly name: string;
  readonly text: string;
}

/** By the driver itself: TypeORM would answer in other shapes, and put the parameters into its errors. */
export async function runQuery<T>(
  runner: QueryRunner,
  sql: string | Prepared,
  params: readonly unknown[],
): Promise<T[]> {
  const statement = typeof sql === 'string' ? { text: sql } : sql;
  return guard(async () => {
    const client = (await runner.connect()) as pg.PoolClient;
    // An error of the connection releases the runner; the connection may be somebody else's by now.
    if (runner.isReleased) throw new AppError('unavailable', { internal: { dependency: 'database' } });
    writeTogether(client);
    const { rows } = await client.query<T & pg.QueryResultRow>({ ...statement, values: [...params] });
    return rows;
  });
}

/**
 * What is sent over a connection before anything else can happen in this process goes out in one write: an event and the
 * commit behind it, or several statements at once. A write is dearer than what is in it, on both sides.
 */
function writeTogether(client: pg.PoolClient): void {
  // Only the types of pg hide it.
  const { stream } = (client as pg.PoolClient & { readonly connection: { readonly stream: Writable } }).connection;
  stream.cork();
  process.nextTick(() => {
    stream.uncork();
  });
}

/** Runs `fn`; what says that PostgreSQL cannot answer now is thrown as `unavailable`. */
export async function guard<T>(fn: () => Promise<T>): Promise<T> {
  try {
    return await fn();
  } catch (error) {
    throw asUnavailable(error);
  }
}
