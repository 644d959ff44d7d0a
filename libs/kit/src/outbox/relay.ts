import type { NatsConnection } from '@nats-io/transport-node';
import type pg from 'pg';
import { busHealth } from '../bus/connection.js';
import type { Database, Queryable } from '../database.js';
import type { Logger } from '../log.js';
import { backoffMs } from '../retry.js';
import { advance, readBatch } from './batch.js';
import { publishedEvents, relayFailures, relayLag, relayPending } from './metrics.js';
import { settleOrigin } from './origin.js';
import { publishBatch } from './publish.js';
import { ReceiptKeeper } from './receipts.js';
import type { ReceiptOptions } from './receipts.js';

export interface RelayOptions {
  readonly database: Database;
  readonly connection: NatsConnection;
  /** The service whose outbox it is. */
  readonly source: string;
  readonly log: Logger;
  /** How the log is asked what it has. Without it nothing is published twice on purpose, and nothing is forgotten. */
  readonly receipts?: ReceiptOptions;
  readonly intervalMs?: number;
  readonly entriesMax?: number;
}

export interface RelayLag {
  /** Committed events that are not published yet; counting stops at 10,000. */
  readonly pending: number;
  /** Age of the oldest of them in seconds, 0 when there is none. */
  readonly oldestSeconds: number;
}

export interface Relay {
  /** Looks for new events now instead of at the next poll. */
  wake(): void;
  lag(): Promise<RelayLag>;
  /** Finishes the batch in hand and gives up leadership. */
  stop(): Promise<void>;
  isLeader(): boolean;
}

/**
 * Publishes a service's outbox to JetStream: every committed event at least once under its own id, in one gapless
 * numbering per source. Every replica may start one; an advisory lock, held by a connection of its own, lets one work.
 * The lock only saves effort: two that work at once publish the same ids with the same numbers, and the cursor moves
 * once. A crash anywhere means the same messages again, and so does a transport that forgot them, when the log can be
 * asked for receipts. Losing PostgreSQL or NATS means trying again, for ever.
 */
export function startRelay(options: RelayOptions): Relay {
  const relay = new RelayLoop(options);
  const running = relay.run();
  const lag = memoized(() => readLag(options.database, options.source), lagAgeMaxMs);
  relayLag.from(async () => (await lag()).oldestSeconds);
  relayPending.from(async () => (await lag()).pending);
  return {
    wake: () => {
      relay.wake();
    },
    lag: () => readLag(options.database, options.source),
    stop: async () => {
      relay.stop();
      await running;
    },
    isLeader: () => relay.isLeader,
  };
}

const standbyMs = 1_000;
/** Two metrics, one question. */
const lagAgeMaxMs = 500;

class RelayLoop {
  readonly #options: RelayOptions;
  #isStopping = false;
  #isWoken = false;
  #interrupt: (() => void) | undefined;
  #failures = 0;
  isLeader = false;

  constructor(options: RelayOptions) {
    this.#options = options;
  }

  wake(): void {
    this.#isWoken = true;
    this.#interrupt?.();
  }

  stop(): void {
    this.#isStopping = true;
    this.#interrupt?.();
  }

  async run(): Promise<void> {
    const { database, source, log } = this.#options;
    while (!this.#isStopping) {
      let client: pg.Client | undefined;
      try {
        client = await database.connectDedicated(`${source}-relay`);
        await this.#standByAndLead(client);
        this.#failures = 0;
      } catch (error) {
        this.#failures++;
        relayFailures.inc();
        log.warn({ source, err: error, failures: this.#failures }, 'relay.interrupted');
      } finally {
        this.isLeader = false;
        // Ends the session, and with it the lock.
        await client?.end().catch(() => undefined);
      }
      if (!this.#isStopping) await this.#pause(backoffMs(this.#failures), 'until stop');
    }
  }

  async #standByAndLead(client: pg.Client): Promise<void> {
    const { source, log, intervalMs = 100 } = this.#options;
    const session: Queryable = {
      query: async <T>(sql: string, params: readonly unknown[] = []) =>
        (await client.query(sql, [...params])).rows as T[],
    };
    while (!this.#isStopping && !(await tryLock(session, source))) await this.#pause(standbyMs, 'until stop');
    if (this.#isStopping) return;
    this.isLeader = true;
    log.info({ source }, 'relay.leading');
    const { receipts: options, database } = this.#options;
    await settleOrigin(session, { database, source, onRewound: options?.onRewound, log });
    const onAnswer = this.wake.bind(this);
    const receipts =
      options === undefined ? undefined : new ReceiptKeeper({ database, source, options, log, onAnswer });
    while (!this.#isStopping) {
      this.#isWoken = false;
      const outcome = await this.#step(session, receipts);
      if (outcome === 'deposed') return;
      if (outcome === 'more') continue;
      if (outcome === 'failed') await this.#pause(backoffMs(++this.#failures), 'until stop');
      else if (!this.#isWoken) await this.#pause(intervalMs);
    }
  }

  /** One batch: read, publish, move the cursor. Nothing is remembered between steps, so any of them may be the last. */
  async #step(session: Queryable, receipts?: ReceiptKeeper): Promise<'idle' | 'more' | 'failed' | 'deposed'> {
    const { source, connection, log, entriesMax = 512 } = this.#options;
    // Publishing while disconnected would only fill a buffer that a reconnect throws away.
    if (!busHealth(connection).isConnected) return 'failed';
    const read = await readBatch(session, source, entriesMax);
    if (read === undefined) throw new TypeError(`the outbox has no relay state for ${source}`);
    const look = await receipts?.look(session, read, read.entries.length < entriesMax);
    if (look === 'read again') return 'more';
    const batch = look === undefined ? read : { ...read, entries: read.entries.slice(0, look) };
    if (batch.entries.length === 0) return 'idle';
    const { stored, error } = await publishBatch(connection, source, batch);
    publishedEvents.inc(stored);
    // A crash here: the same entries are read again, get the same numbers, and are published again under the same ids.
    const last = batch.entries[stored - 1];
    if (last !== undefined && !(await advance(session, source, batch.cursor, last))) {
      log.warn({ source, seq: String(batch.cursor.seq) }, 'relay.deposed');
      return 'deposed';
    }
    if (stored < batch.entries.length) {
      relayFailures.inc();
      log.warn({ source, stored, of: batch.entries.length, err: error }, 'relay.publish_failed');
      return 'failed';
    }
    this.#failures = 0;
    return batch.entries.length === entriesMax ? 'more' : 'idle';
  }

  async #pause(ms: number, end: 'until stop' | 'until wake' = 'until wake'): Promise<void> {
    if (this.#isStopping) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#interrupt = () => {
        if (end === 'until stop' && !this.#isStopping) return;
        clearTimeout(timer);
        resolve();
      };
    });
    this.#interrupt = undefined;
  }
}

async function tryLock(session: Queryable, source: string): Promise<boolean> {
  const [row] = await session.query<{ locked: boolean }>(
    'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS locked',
    [`relay:${source}`],
  );
  return row?.locked === true;
}

async function readLag(database: Queryable, source: string): Promise<RelayLag> {
  const [row] = await database.query<{ pending: string; oldest: string | null }>(
    `SELECT count(*)::text AS pending, extract(epoch FROM clock_timestamp() - min(created_at))::text AS oldest
       FROM (SELECT o.created_at FROM relay_state s JOIN outbox o ON (o.xid, o.id) > (s.last_xid, s.last_id)
              WHERE s.source = $1 ORDER BY o.xid, o.id LIMIT 10000) waiting`,
    [source],
  );
  return { pending: Number(row?.pending ?? 0), oldestSeconds: Math.max(0, Number(row?.oldest ?? 0)) };
}

function memoized<T>(read: () => Promise<T>, ageMaxMs: number): () => Promise<T> {
  let last: { readonly value: Promise<T>; readonly atMs: number } | undefined;
  return () => {
    const now = performance.now();
    if (last === undefined || now - last.atMs > ageMaxMs) last = { value: read(), atMs: now };
    return last.value;
  };
}
