import type { Clock } from '@prime-nest/kit/clock';
import type { Database } from '@prime-nest/kit/database';
import type { Logger } from '@prime-nest/kit/log';

export interface HousekeepingParts {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly intervalMs: number;
}

/** Days that something is kept after it has stopped to matter; the audit log keeps what happened for longer. */
const keptDays = 7;
const rowsMax = 5_000;

/**
 * What is over and decides nothing any more: revocations whose tokens have all expired, gateways that are gone,
 * sessions and codes long past their expiry, lanes without an attempt for so long that even their escalation has
 * decayed. A pruned session is refused like one that never was.
 */
const prunings: Readonly<Record<string, string>> = {
  revocation: `DELETE FROM revocation WHERE sequence IN (SELECT sequence FROM revocation WHERE until < $1 LIMIT ${rowsMax}) RETURNING 1`,
  session: `DELETE FROM session WHERE id IN (SELECT id FROM session WHERE expires_at < $1 LIMIT ${rowsMax}) RETURNING 1`,
  gateway_member: `DELETE FROM gateway_member WHERE lease_until < $1 RETURNING 1`,
  password_reset: `DELETE FROM password_reset WHERE code_hash IN (SELECT code_hash FROM password_reset WHERE expires_at < $1 LIMIT ${rowsMax}) RETURNING 1`,
  login_lane: `DELETE FROM login_lane WHERE lane IN (SELECT lane FROM login_lane WHERE window_started_at < $1 AND (locked_until IS NULL OR locked_until < $1) LIMIT ${rowsMax}) RETURNING 1`,
};

/** Removes what is over, a bounded number of rows at a time; one replica at a time. */
export class Housekeeping {
  readonly #parts: HousekeepingParts;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#running ??= this.#sweep().finally(() => {
        this.#running = undefined;
      });
    }, this.#parts.intervalMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }

  /** Rows removed, by table. */
  async prune(): Promise<Record<string, number>> {
    const { database, clock } = this.#parts;
    const before = new Date(clock().getTime() - keptDays * 86_400_000);
    return database.transaction(async (tx) => {
      const lock = `SELECT pg_try_advisory_xact_lock(hashtextextended('identity.housekeeping', 0)) AS "isMine"`;
      const [row] = await tx.query<{ isMine: boolean }>(lock);
      const removed: Record<string, number> = {};
      if (row?.isMine !== true) return removed;
      for (const [table, sql] of Object.entries(prunings)) removed[table] = (await tx.query(sql, [before])).length;
      return removed;
    });
  }

  async #sweep(): Promise<void> {
    const { log } = this.#parts;
    try {
      const removed = await this.prune();
      if (Object.values(removed).some((count) => count > 0)) log.info({ removed }, 'housekeeping.pruned');
    } catch (error) {
      log.warn({ err: error }, 'housekeeping.failed');
    }
  }
}
