import { AppError } from '@prime-nest/contracts/errors';
import { revocationsPerListMax, type Session } from '@prime-nest/contracts/identity';
import type { Clock } from '@prime-nest/kit/clock';
import type { Database } from '@prime-nest/kit/database';
import { findAccount } from '../account/account.store.js';
import { listRevocations, type RevocationPage } from './revocation.store.js';
import { listSessions } from './session.store.js';

export class ReadSessions {
  readonly #database: Database;
  readonly #clock: Clock;

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  /** The live sessions of the account, most recently used first. Throws `not_found`. */
  async list(accountId: string): Promise<{ data: Session[] }> {
    const rows = await listSessions(this.#database, accountId, this.#clock());
    if (rows.length === 0 && (await findAccount(this.#database, accountId)) === undefined)
      throw new AppError('not_found');
    return {
      data: rows.map((row) => ({
        ...row,
        createdAt: row.createdAt.toISOString(),
        lastUsedAt: row.lastUsedAt.toISOString(),
        expiresAt: row.expiresAt.toISOString(),
      })),
    };
  }

  revocations(after: number): Promise<RevocationPage> {
    return listRevocations(this.#database, { after, max: revocationsPerListMax, now: this.#clock() });
  }
}
