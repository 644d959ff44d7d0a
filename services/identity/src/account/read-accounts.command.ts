import type { KeyObject } from 'node:crypto';
import { AppError } from '@prime-nest/contracts/errors';
import type { Account } from '@prime-nest/contracts/identity';
import type { Clock } from '@prime-nest/kit/clock';
import type { Database } from '@prime-nest/kit/database';
import { findAccount, listAccounts, type AccountPage, type AccountRow } from './account.store.js';
import { strangerLane } from './lockout.js';
import { locksOf } from './lockout.store.js';

export interface ReadAccountsParts {
  readonly database: Database;
  readonly clock: Clock;
  readonly laneKey: KeyObject;
}

/** Accounts as others may see them: without credentials, with the lock that strangers have earned. */
export class ReadAccounts {
  readonly #parts: ReadAccountsParts;

  constructor(parts: ReadAccountsParts) {
    this.#parts = parts;
  }

  /** Throws `not_found`, also for a deleted account. */
  async get(id: string): Promise<Account> {
    const row = await findAccount(this.#parts.database, id);
    if (row === undefined) throw new AppError('not_found');
    return this.describe(row);
  }

  async list(page: AccountPage): Promise<{ data: Account[]; total: number }> {
    const { rows, total } = await listAccounts(this.#parts.database, page);
    return { data: await this.#describe(rows), total };
  }

  async describe(row: AccountRow): Promise<Account> {
    const [account] = await this.#describe([row]);
    if (account === undefined) throw new AppError('internal');
    return account;
  }

  async #describe(rows: readonly AccountRow[]): Promise<Account[]> {
    const { database, clock, laneKey } = this.#parts;
    const lanes = rows.map(({ email }) => strangerLane(laneKey, email));
    const locks = lanes.length === 0 ? new Map<string, Date>() : await locksOf(database, lanes, clock());
    return rows.map((row, index) => ({
      id: row.id,
      email: row.email,
      name: row.name,
      isActive: row.isActive,
      lockedUntil: locks.get(lanes[index]?.key.toString('hex') ?? '')?.toISOString() ?? null,
      createdAt: row.createdAt.toISOString(),
      updatedAt: row.updatedAt.toISOString(),
    }));
  }
}
