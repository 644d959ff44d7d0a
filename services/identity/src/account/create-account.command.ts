import type { CallContext } from '@prime-nest/contracts/context';
import type { Clock } from '@prime-nest/kit/clock';
import type { Database, Tx } from '@prime-nest/kit/database';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import { existedEver, insertAccount, type AccountRow } from './account.store.js';
import type { PasswordHasher } from './password-hasher.worker.js';
import { assertPasswordAllowed } from './password-rules.js';

export interface CreateAccountParts {
  readonly database: Database;
  readonly hasher: PasswordHasher;
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly commonPasswords: ReadonlySet<string>;
}

export interface CreateAccountRequest {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly password: string;
}

export class CreateAccount {
  readonly #parts: CreateAccountParts;

  constructor(parts: CreateAccountParts) {
    this.#parts = parts;
  }

  /** Throws `email_taken` and `password_rejected`. */
  async run(request: CreateAccountRequest, context: CallContext): Promise<AccountRow> {
    const passwordHash = await this.#hash(request);
    return this.#parts.database.transaction((tx) => this.#insert(tx, { ...request, passwordHash }, context));
  }

  /** Creates the account unless its id was ever used, so that a second run brings no deleted one back. Answers whether it did. */
  async runOnce(request: CreateAccountRequest, context: CallContext): Promise<boolean> {
    const { database } = this.#parts;
    if (await existedEver(database, request.id)) return false;
    const passwordHash = await this.#hash(request);
    return database.transaction(async (tx) => {
      await tx.query(`SELECT pg_advisory_xact_lock(hashtextextended('identity.seed', 0))`);
      if (await existedEver(tx, request.id)) return false;
      await this.#insert(tx, { ...request, passwordHash }, context);
      return true;
    });
  }

  #hash({ password, email }: CreateAccountRequest): Promise<string> {
    const { hasher, commonPasswords } = this.#parts;
    assertPasswordAllowed({ password, email, common: commonPasswords, pointer: '/password' });
    return hasher.hash(password);
  }

  async #insert(
    tx: Tx,
    account: CreateAccountRequest & { passwordHash: string },
    context: CallContext,
  ): Promise<AccountRow> {
    const { outbox, clock } = this.#parts;
    const { id, email, name, passwordHash } = account;
    const row = await insertAccount(tx, { id, email, name, passwordHash, now: clock() });
    const change = { after: { email, name, isActive: true } };
    await outbox.append(tx, { type: 'identity.account.created.v1', resourceId: id, change }, context);
    return row;
  }
}
