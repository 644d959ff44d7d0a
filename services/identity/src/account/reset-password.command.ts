import { type KeyObject, randomBytes } from 'node:crypto';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { Clock } from '@prime-nest/kit/clock';
import type { Database, Tx } from '@prime-nest/kit/database';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import type { EndSessions } from '../session/end-sessions.command.js';
import { lockAccount, replacePassword } from './account.store.js';
import { identifierOf } from './lockout.js';
import { unlockIdentifier } from './lockout.store.js';
import type { PasswordHasher } from './password-hasher.worker.js';
import { consumeReset, findOpenReset, insertReset } from './password-reset.store.js';
import { assertPasswordAllowed } from './password-rules.js';
import { formatResetCode, resetCodeBytes, resetCodeHash, resetLifetimeSeconds } from './reset-code.js';

/** A reset as it goes to its owner. The code is a credential: it goes to the owner and nowhere else. */
export interface IssuedReset {
  readonly accountId: string;
  readonly email: string;
  readonly resetCode: string;
  readonly expiresAt: Date;
}

/**
 * How a reset reaches its owner. It runs in the issuing transaction, so what it does must be undone with it: a mail
 * belongs into a queue of the same database.
 */
export type ResetDelivery = (tx: Tx, reset: IssuedReset, context: CallContext) => Promise<void>;

/** Without a mail server: the event log says that a reset was issued, and the administrator passes the code on. */
export function deliverByEventLog(outbox: Outbox): ResetDelivery {
  return (tx, { accountId, expiresAt }, context) =>
    outbox.append(
      tx,
      {
        type: 'identity.password.reset_issued.v1',
        resourceId: accountId,
        change: { after: { expiresAt: expiresAt.toISOString() } },
      },
      context,
    );
}

export interface ResetPasswordParts {
  readonly database: Database;
  readonly hasher: PasswordHasher;
  readonly ending: EndSessions;
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly laneKey: KeyObject;
  readonly commonPasswords: ReadonlySet<string>;
  readonly deliver: ResetDelivery;
}

/** One-time codes that set a password without the old one. */
export class ResetPassword {
  readonly #parts: ResetPasswordParts;

  constructor(parts: ResetPasswordParts) {
    this.#parts = parts;
  }

  /** Throws `not_found`, also for an account that is not active. */
  async issue(accountId: string, context: CallContext): Promise<{ resetCode: string; expiresAt: string }> {
    const { database, clock, deliver } = this.#parts;
    const random = randomBytes(resetCodeBytes);
    const resetCode = formatResetCode(random);
    const codeHash = resetCodeHash(resetCode);
    if (codeHash === undefined) throw new AppError('internal');
    const now = clock();
    const expiresAt = new Date(now.getTime() + resetLifetimeSeconds * 1000);
    await database.transaction(async (tx) => {
      const { email, isActive, credentialEpoch } = await lockAccount(tx, accountId);
      if (!isActive) throw new AppError('not_found');
      await insertReset(tx, { codeHash, accountId, credentialEpoch, now, expiresAt });
      await deliver(tx, { accountId, email, resetCode, expiresAt }, context);
    });
    return { resetCode, expiresAt: expiresAt.toISOString() };
  }

  /**
   * Sets the password and uses the code up in one transaction: a code is worth one new password, whoever and however
   * many present it. Throws `reset_code_invalid` (unknown, used, expired and outdated alike) and `password_rejected`,
   * which leaves the code usable.
   */
  async redeem(
    { resetCode, newPassword }: { resetCode: string; newPassword: string },
    context: CallContext,
  ): Promise<void> {
    const { database, hasher, clock, ending, commonPasswords } = this.#parts;
    const codeHash = resetCodeHash(resetCode);
    const open = codeHash === undefined ? undefined : await findOpenReset(database, codeHash, clock());
    if (codeHash === undefined || open === undefined) throw new AppError('reset_code_invalid');
    const { accountId, credentialEpoch, email } = open;
    assertPasswordAllowed({ password: newPassword, email, common: commonPasswords, pointer: '/newPassword' });
    const passwordHash = await hasher.hash(newPassword);
    const isSet = await ending.inForceAfter(async (tx) => {
      const now = clock();
      // The account before the code, like every other change of it, or two of them could wait for each other.
      const epoch = await replacePassword(tx, { id: accountId, provenEpoch: credentialEpoch, passwordHash, now });
      if (epoch === undefined) return false;
      if (!(await consumeReset(tx, codeHash, now))) throw new AppError('reset_code_invalid');
      await this.#record(tx, { accountId, email, credentialEpoch, epoch }, context);
      return true;
    });
    if (!isSet) throw new AppError('reset_code_invalid');
  }

  async #record(
    tx: Tx,
    {
      accountId,
      email,
      credentialEpoch,
      epoch,
    }: { accountId: string; email: string; credentialEpoch: number; epoch: number },
    context: CallContext,
  ): Promise<void> {
    const { outbox, ending, laneKey } = this.#parts;
    await unlockIdentifier(tx, identifierOf(laneKey, email));
    const change = { before: { epoch: credentialEpoch }, after: { epoch } };
    const byOwner: CallContext = { ...context, actor: { type: 'user', id: accountId } };
    await outbox.append(
      tx,
      { type: 'identity.password.changed.v1', resourceId: accountId, reasonCode: 'reset', change },
      byOwner,
    );
    await ending.endEpoch(tx, { accountId, epoch, reason: 'password_reset' });
  }
}
