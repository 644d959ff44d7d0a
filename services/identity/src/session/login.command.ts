import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { EventDraft } from '@prime-nest/contracts/events';
import type { TokenResponse } from '@prime-nest/contracts/identity';
import type { Clock } from '@prime-nest/kit/clock';
import type { Database } from '@prime-nest/kit/database';
import { newId } from '@prime-nest/kit/ids';
import type { Logger } from '@prime-nest/kit/log';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import { findAccountByEmail, replaceHash, type AccountRow } from '../account/account.store.js';
import type { CredentialCheck, Failure, Verdict } from '../account/credential-check.command.js';
import { mintDeviceToken, readDeviceToken } from '../account/device.js';
import { deviceLane, identifierOf, strangerLane } from '../account/lockout.js';
import { isCurrentHash } from '../account/password-hash.js';
import type { PasswordHasher } from '../account/password-hasher.worker.js';
import type { Envelope } from '../signing/envelope.js';
import type { EndSessions } from './end-sessions.command.js';
import { isNearCap } from './session-cap.js';
import { endSurplusSessions, openingOf } from './session.store.js';
import type { TokenIssuer } from './token-issuer.js';

export interface LoginParts {
  readonly database: Database;
  readonly credentials: CredentialCheck;
  readonly hasher: PasswordHasher;
  readonly issuer: TokenIssuer;
  readonly ending: EndSessions;
  readonly envelope: Envelope;
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly log: Logger;
  readonly laneKey: KeyObject;
  readonly deviceKey: KeyObject;
  readonly idleSeconds: number;
  readonly absoluteSeconds: number;
  readonly sessionsMax: number;
}

export interface LoginRequest {
  readonly email: string;
  readonly password: string;
  readonly deviceToken?: string | undefined;
}

interface Opened {
  readonly isSettled: boolean;
  readonly others: number;
}

type LoginAnswer = TokenResponse & { deviceToken: string };

/**
 * Opens a session for the right password. Unknown, wrong and inactive take the same path to the same
 * `invalid_credentials`: one lookup, one counted attempt, one hash, one recorded failure. Throws `login_locked`
 * before any hash when the attempts are used up.
 */
export class Login {
  readonly #parts: LoginParts;

  constructor(parts: LoginParts) {
    this.#parts = parts;
  }

  async run({ email, password, deviceToken }: LoginRequest, context: CallContext): Promise<LoginAnswer> {
    const { database, credentials, issuer, clock, laneKey, deviceKey } = this.#parts;
    const askedAt = clock();
    issuer.assertReady();
    const account = await findAccountByEmail(database, email);
    const knownDevice =
      account === undefined || deviceToken === undefined
        ? undefined
        : readDeviceToken(deviceKey, account.id, deviceToken);
    const lanes = [
      ...(knownDevice === undefined ? [] : [deviceLane(laneKey, email, knownDevice)]),
      strangerLane(laneKey, email),
    ];
    const verdict = await credentials.verify({ lanes, password, hash: account?.passwordHash, askedAt, context });

    const failed = async (reasonCode: Failure['reasonCode']): Promise<never> => {
      const identifier = identifierOf(laneKey, email).toString('hex');
      await credentials.settleFailure(verdict, { accountId: account?.id, identifier, reasonCode, context });
      throw new AppError('invalid_credentials');
    };
    if (account === undefined) return failed('unknown_account');
    if (!verdict.isMatch) return failed('wrong_password');
    if (!account.isActive) return failed('inactive');

    const deviceId = knownDevice ?? newId();
    const answer = await this.#open(account, verdict, context);
    // The credentials changed between the comparison and the insert: the password that was right is the old one.
    if (answer === undefined) return failed('changed_meanwhile');
    await this.#refreshHash(account, password);
    return { ...answer, deviceToken: mintDeviceToken(deviceKey, account.id, deviceId) };
  }

  /** The session, its event and the settled attempt, together or not at all. */
  async #open(account: AccountRow, verdict: Verdict, context: CallContext): Promise<TokenResponse | undefined> {
    const { credentials, envelope, clock, issuer, ending, outbox, idleSeconds, absoluteSeconds, sessionsMax } =
      this.#parts;
    const now = clock();
    const sessionId = newId();
    const sessionKey = randomBytes(32);
    const expiresAt = new Date(now.getTime() + absoluteSeconds * 1000);
    const idleExpiresAt = new Date(Math.min(now.getTime() + idleSeconds * 1000, expiresAt.getTime()));
    const byOwner: CallContext = { ...context, actor: { type: 'user', id: account.id, sessionId } };
    const isOpen = await ending.announceAfter(async (tx) => {
      const session = openingOf(verdict.charge, verdict.askedAt, {
        id: sessionId,
        accountId: account.id,
        provenEpoch: account.credentialEpoch,
        sealedKey: envelope.seal(sessionKey, sessionContext(sessionId)),
        now,
        idleExpiresAt,
        expiresAt,
        ip: context.ip ?? null,
        userAgent: context.userAgent ?? null,
      });
      const draft: EventDraft = {
        type: 'identity.login.succeeded.v1',
        resourceId: sessionId,
        change: { after: { accountId: account.id } },
      };
      const opened = await outbox.appendWith<Opened>(tx, { ...session, draft }, byOwner);
      if (opened === undefined) return false;
      credentials.noteSettled(tx, verdict, opened.isSettled);
      if (!isNearCap(opened.others, sessionsMax)) return true;
      const surplus = await endSurplusSessions(tx, account.id, sessionsMax, now);
      await ending.record(tx, { sessionIds: surplus, reason: 'session_cap', context: byOwner });
      return true;
    });
    if (!isOpen) return undefined;
    return issuer.issue({
      sessionId,
      sessionKey: createSecretKey(sessionKey),
      accountId: account.id,
      credentialEpoch: account.credentialEpoch,
      generation: 0,
      idleExpiresAt,
      expiresAt,
      tokenId: newId(),
      now,
    });
  }

  /** A hash made with other parameters is replaced while the password is at hand; failing to never fails the sign-in. */
  async #refreshHash(account: AccountRow, password: string): Promise<void> {
    if (isCurrentHash(account.passwordHash)) return;
    const { database, hasher, log } = this.#parts;
    try {
      const fresh = await hasher.hash(password);
      await database.transaction((tx) => replaceHash(tx, account.id, account.passwordHash, fresh));
    } catch (error) {
      log.warn({ err: error, accountId: account.id }, 'password.rehash_failed');
    }
  }
}

/** What a sealed session key is bound to. */
export function sessionContext(sessionId: string): string {
  return `session:${sessionId}`;
}
