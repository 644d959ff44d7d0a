import { AppError } from '@prime-nest/contracts/errors';
import pg from 'pg';
import { DataSource } from 'typeorm';
import type { EntityManager, MixedList, QueryRunner } from 'typeorm';
import { isPastDeadline } from './context.js';
import { clientConfig, connectTimeoutMs } from './database-connection.js';
import { watchPool } from './database-metrics.js';
import type { DatabaseSsl } from './database-connection.js';
import { asUnavailable, isAbortedTransaction, isConnectionInDoubt, isRetryable } from './database-errors.js';
import { guard, runQuery } from './database-statement.js';
import type { Prepared } from './database-statement.js';
import type { Logger } from './log.js';
import { retryWithin } from './retry.js';
import type { Secret } from './secret.js';

export { databaseSsl } from './database-connection.js';
export type { DatabaseSsl } from './database-connection.js';
export { isForeignKeyViolation, isUniqueViolation } from './database-errors.js';
export { runMigrations } from './database-migrations.js';
export type { Prepared } from './database-statement.js';

export interface DatabaseOptions {
  readonly url: Secret;
  readonly schema: string;
  readonly entities: MixedList<new () => object>;
  readonly migrations?: MixedList<new () => object>;
  readonly ssl: DatabaseSsl;
  readonly poolMax: number;
  readonly log: Logger;
  readonly applicationName: string;
  /** How long to keep trying while PostgreSQL is not there yet, milliseconds. */
  readonly startTimeoutMs?: number;
}

/** What reads need: satisfied by {@link Database} and by {@link Tx}. */
export type Queryable = Pick<Tx, 'query'>;

export type Isolation = 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE';

const key = Symbol('tx');

/**
 * An open transaction. Only {@link Database.transaction} makes one, and it is dead as soon as that returns: a
 * parameter of this type is the proof that a write shares its caller's transaction.
 */
export class Tx {
  readonly #runner: QueryRunner;
  readonly #committed: (() => void)[] = [];
  readonly #sent: Promise<unknown>[] = [];
  #isOpen = true;

  constructor(proof: typeof key, runner: QueryRunner) {
    if (proof !== key) throw new AppError('internal', { internal: { reason: 'a Tx is made by transaction() only' } });
    this.#runner = runner;
  }

  /** Rows of one statement, also of `UPDATE … RETURNING`. Throws `internal` once the transaction has ended. */
  query<T>(sql: string | Prepared, params: readonly unknown[] = []): Promise<T[]> {
    this.assertOpen();
    return runQuery<T>(this.#runner, sql, params);
  }

  /**
   * Sends a statement without waiting for its answer: it costs no round trip of its own. The transaction commits only if
   * it succeeds, and ends with its error otherwise. Text and bytes only: nothing that could fail before it is sent.
   */
  send(statement: Prepared, params: readonly (string | Buffer)[]): void {
    this.assertOpen();
    const answer = runQuery(this.#runner, statement, params);
    // Whoever commits looks at it; until then it is nobody's unhandled failure.
    answer.catch(() => undefined);
    this.#sent.push(answer);
  }

  get manager(): EntityManager {
    this.assertOpen();
    return this.#runner.manager;
  }

  /** Runs `fn` after the commit, never after a rollback. It must not throw and nothing may depend on it running. */
  afterCommit(fn: () => void): void {
    this.assertOpen();
    this.#committed.push(fn);
  }

  /** Throws `internal` unless `value` is a transaction that is still open: a forged or a finished one is neither. */
  static assertOpen(value: Tx): void {
    if (!(#isOpen in value)) throw new AppError('internal', { internal: { reason: 'not a transaction' } });
    value.assertOpen();
  }

  /**
   * Runs `commit` behind everything that was sent. PostgreSQL turns the commit of a transaction in which a statement has
   * failed into a rollback and calls it done; the statement's own error is what tells. @internal
   */
  static async settle(tx: Tx, commit: () => Promise<void>): Promise<void> {
    const [committed, ...sent] = await Promise.allSettled([commit(), ...tx.#sent]);
    const failed = committed.status === 'rejected' ? committed : sent.find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
  }

  /**
   * Why the transaction failed, when `error` may only be what came of it: behind a sent statement that failed, PostgreSQL
   * refuses every other without saying why. @internal
   */
  static async reasonOf(tx: Tx, error: unknown): Promise<unknown> {
    if (!isAbortedTransaction(error)) return error;
    const failed = (await Promise.allSettled(tx.#sent)).find(({ status }) => status === 'rejected');
    return failed?.status === 'rejected' ? failed.reason : error;
  }

  /** @internal */
  static end(tx: Tx, isCommitted: boolean): void {
    tx.#isOpen = false;
    if (!isCommitted) return;
    for (const fn of tx.#committed) fn();
  }

  private assertOpen(): void {
    if (!this.#isOpen) throw new AppError('internal', { internal: { reason: 'the transaction has ended' } });
  }
}

const attemptsMax = 3;

export class Database {
  readonly dataSource: DataSource;
  readonly #client: pg.ClientConfig;

  constructor(dataSource: DataSource, client: pg.ClientConfig) {
    this.dataSource = dataSource;
    this.#client = client;
  }

  /** Rows of one statement. Throws `unavailable` when PostgreSQL cannot answer now. */
  async query<T>(sql: string | Prepared, params: readonly unknown[] = []): Promise<T[]> {
    const runner = this.dataSource.createQueryRunner();
    try {
      return await runQuery<T>(runner, sql, params);
    } catch (error) {
      await discardIfBroken(runner, error);
      throw error;
    } finally {
      await runner.release();
    }
  }

  /**
   * Runs `fn` in one transaction: committed when it returns, rolled back when it throws, and rolled back with
   * `unavailable` when the deadline of the call being served has passed by then. Serialization failures and
   * deadlocks run it again, at most three times in all, so `fn` must touch nothing but `tx`. Throws `unavailable`
   * when the connection fails; if that happens during COMMIT, whether it took effect is unknown to this process.
   *
   * To commit something and then fail (a revocation that must stand although the call is refused), return a value
   * that says so and throw after `transaction` has returned; an error thrown inside takes the writes with it.
   */
  async transaction<T>(fn: (tx: Tx) => Promise<T>, { isolation }: { isolation?: Isolation } = {}): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(fn, isolation);
      } catch (error) {
        if (!isRetryable(error)) throw error;
        if (attempt >= attemptsMax)
          throw new AppError('unavailable', { internal: { attempts: attempt }, cause: error });
      }
    }
  }

  async #attempt<T>(fn: (tx: Tx) => Promise<T>, isolation: Isolation | undefined): Promise<T> {
    const runner = this.dataSource.createQueryRunner();
    let tx: Tx | undefined;
    try {
      await guard(() => runner.startTransaction(isolation));
      tx = new Tx(key, runner);
      const result = await fn(tx);
      // A database that stood still and woke up again would otherwise commit what the caller was told is unavailable.
      if (isPastDeadline(Date.now()))
        throw new AppError('unavailable', { internal: { reason: 'nobody waits any more' } });
      await Tx.settle(tx, () => guard(() => runner.commitTransaction()));
      Tx.end(tx, true);
      return result;
    } catch (thrown) {
      const error = tx === undefined ? thrown : await Tx.reasonOf(tx, thrown);
      if (tx !== undefined) Tx.end(tx, false);
      // The first error is the one to tell; a failing ROLLBACK means the connection is gone, and with it the transaction.
      const rollback =
        runner.isTransactionActive && !runner.isReleased
          ? await runner.rollbackTransaction().then(
              () => undefined,
              (failed: unknown) => failed,
            )
          : undefined;
      await discardIfBroken(runner, rollback ?? error);
      throw error;
    } finally {
      await runner.release();
    }
  }

  /** Resolves when PostgreSQL answers, throws `unavailable` otherwise. */
  async ping(): Promise<void> {
    await this.query('SELECT 1');
  }

  /** A connection outside the pool with the same settings, for session-level work. The caller ends it. */
  async connectDedicated(applicationName: string): Promise<pg.Client> {
    const client = new pg.Client({ ...this.#client, application_name: applicationName, keepAlive: true });
    // Without a listener a lost connection would end the process; its next query fails and tells the owner.
    client.on('error', () => undefined);
    try {
      await client.connect();
    } catch (error) {
      await client.end().catch(() => undefined);
      throw asUnavailable(error);
    }
    return client;
  }

  async close(): Promise<void> {
    await this.dataSource.destroy();
  }
}

/**
 * Opens the pool. While PostgreSQL is not reachable it tries again with progress in the log, up to
 * `startTimeoutMs` (30 s), then throws `unavailable`.
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const {
    url,
    schema,
    entities,
    migrations = [],
    ssl,
    poolMax,
    log,
    applicationName,
    startTimeoutMs = 30_000,
  } = options;
  const client = clientConfig(url, schema, ssl);
  const dataSource = new DataSource({
    type: 'postgres',
    url: url.reveal(),
    schema,
    entities,
    migrations,
    synchronize: false,
    logging: false,
    installExtensions: false,
    poolSize: poolMax,
    applicationName,
    connectTimeoutMS: connectTimeoutMs,
    extra: { ...client, keepAlive: true },
    // An idle connection that dies is replaced by the pool; the next query is the one to fail or not.
    poolErrorHandler: (error: unknown) => {
      log.warn({ err: error }, 'database.connection_lost');
    },
  });
  await retryWithin(startTimeoutMs, () => guard(() => dataSource.initialize()), log, 'database.connect_failed');
  watchPool(dataSource);
  return new Database(dataSource, client);
}

/** Ends a connection in doubt, so that the pool drops it on release instead of handing it to the next caller. */
async function discardIfBroken(runner: QueryRunner, error: unknown): Promise<void> {
  if (!isConnectionInDoubt(error) || runner.isReleased) return;
  const client = (await runner.connect().catch(() => undefined)) as pg.PoolClient | undefined;
  void (client as pg.Client | undefined)?.end().catch(() => undefined);
}
