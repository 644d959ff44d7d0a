import type { KeyObject } from 'node:crypto';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { Clock } from '@prime-nest/kit/clock';
import type { Database } from '@prime-nest/kit/database';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import type { EndSessions } from '../session/end-sessions.command.js';
import { findAccount, replacePassword } from './account.store.js';
import type { CredentialCheck, Failure } from './credential-check.command.js';
import { identifierOf, reauthLane } from './lockout.js';
import type { PasswordHasher } from './password-hasher.worker.js';
import { assertPasswordAllowed, normalizePassword } from './password-rules.js';

export interface ChangePasswordParts {
  readonly database: Database;
  readonly credentials: CredentialCheck;
  readonly hasher: PasswordHasher;
  readonly ending: EndSessions;
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly laneKey: KeyObject;
  readonly commonPasswords: ReadonlySet<string>;
}

export interface ChangePasswordRequest {
  readonly accountId: string;
  readonly currentPassword: string;
  readonly newPassword: string;
}

/**
 * Replaces the password of somebody who knows the current one, and ends every session of the account, the caller's
 * too. Guessing the current password is counted like a sign-in, in a lane of its own. Throws `invalid_credentials`,
 * `login_locked`, `rate_limited`, `password_rejected`, `not_found`.
 */
export class ChangePassword {
  readonly #parts: ChangePasswordParts;

  constructor(parts: ChangePasswordParts) {
    this.#parts = parts;
  }

  async run({ accountId, currentPassword, newPassword }: ChangePasswordRequest, context: CallContext): Promise<void> {
    const { database, credentials, hasher, ending, outbox, clock, laneKey, commonPasswords } = this.#parts;
    const askedAt = clock();
    const account = await findAccount(database, accountId);
    if (account === undefined || !account.isActive) throw new AppError('not_found');
    const { email } = account;
    assertPasswordAllowed({ password: newPassword, email, common: commonPasswords, pointer: '/newPassword' });
    // Two fields of the request compared with each other: nothing about the stored password is told.
    if (normalizePassword(newPassword) === normalizePassword(currentPassword)) {
      throw new AppError('password_rejected', {
        details: { violations: [{ pointer: '/newPassword', message: 'must not be the current password' }] },
      });
    }

    const attempt = {
      lanes: [reauthLane(laneKey, email)],
      password: currentPassword,
      hash: account.passwordHash,
      askedAt,
      context,
    };
    const verdict = await credentials.verify(attempt);
    const failed = async (reasonCode: Failure['reasonCode']): Promise<never> => {
      const identifier = identifierOf(laneKey, email).toString('hex');
      await credentials.settleFailure(verdict, { accountId, identifier, reasonCode, context });
      throw new AppError('invalid_credentials');
    };
    if (!verdict.isMatch) return failed('wrong_password');

    const passwordHash = await hasher.hash(newPassword);
    const isChanged = await ending.inForceAfter(async (tx) => {
      const now = clock();
      const epoch = await replacePassword(tx, {
        id: accountId,
        provenEpoch: account.credentialEpoch,
        passwordHash,
        now,
      });
      if (epoch === undefined) return false;
      await credentials.settleMatch(tx, verdict);
      const change = { before: { epoch: account.credentialEpoch }, after: { epoch } };
      await outbox.append(tx, { type: 'identity.password.changed.v1', resourceId: accountId, change }, context);
      await ending.endEpoch(tx, { accountId, epoch, reason: 'password_changed' });
      return true;
    });
    if (!isChanged) await failed('changed_meanwhile');
  }
}
