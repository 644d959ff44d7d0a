import { createSecretKey, type KeyObject } from 'node:crypto';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { TokenResponse } from '@prime-nest/contracts/identity';
import type { Clock } from '@prime-nest/kit/clock';
import type { Tx } from '@prime-nest/kit/database';
import { newId } from '@prime-nest/kit/ids';
import type { Logger } from '@prime-nest/kit/log';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import { annotate } from '@prime-nest/kit/telemetry';
import { mark, reuses, rotations } from '../telemetry.js';
import { Turns } from '../turns.js';
import type { Envelope } from '../signing/envelope.js';
import type { EndSessions } from './end-sessions.command.js';
import { sessionContext } from './login.command.js';
import { judgeRedemption, type Standing } from './redemption.js';
import { isMintedBy, parseRefreshToken, retryKeyOf, type RefreshToken } from './refresh-token.js';
import { endSession, lockSession, rotation, type RedemptionRecord, type SessionState } from './session.store.js';
import type { TokenIssuer } from './token-issuer.js';

export interface RefreshParts {
  readonly issuer: TokenIssuer;
  readonly ending: EndSessions;
  readonly envelope: Envelope;
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly log: Logger;
  readonly idleSeconds: number;
  readonly reuseWindowSeconds: number;
}

export interface RefreshRequest {
  readonly refreshToken: string;
  readonly idempotencyKey?: string | undefined;
}

interface Presented {
  readonly token: RefreshToken;
  readonly retryKey: Buffer | undefined;
  readonly redemption: RedemptionRecord;
  readonly now: Date;
  readonly context: CallContext;
}

type Outcome =
  | { readonly kind: 'redeemed'; readonly session: SessionState; readonly sessionKey: KeyObject }
  | { readonly kind: 'refused' | 'again' }
  | { readonly kind: 'reuse'; readonly age: 'recent' | 'stale' };

/**
 * Takes a session to its next refresh token. A token is redeemed once: of any number of requests with it at the same
 * time one rotates, and every other one is either the same request again, which gets the same successor, or reuse,
 * which ends the whole family before anything is answered (RFC 9700 §4.14). Throws `invalid_grant`, whatever the
 * reason.
 */
export class Refresh {
  readonly #parts: RefreshParts;
  readonly #turns = new Turns<TokenResponse>();

  constructor(parts: RefreshParts) {
    this.#parts = parts;
  }

  async run({ refreshToken, idempotencyKey }: RefreshRequest, context: CallContext): Promise<TokenResponse> {
    this.#parts.issuer.assertReady();
    const token = parseRefreshToken(refreshToken);
    if (token === undefined) throw new AppError('invalid_grant');
    return this.#turns.take(token.sessionId, () => this.#present(token, idempotencyKey, context));
  }

  async #present(
    token: RefreshToken,
    idempotencyKey: string | undefined,
    context: CallContext,
  ): Promise<TokenResponse> {
    const { issuer, clock, log } = this.#parts;
    const now = clock();
    const presented: Presented = {
      token,
      retryKey: idempotencyKey === undefined ? undefined : retryKeyOf(token, idempotencyKey),
      redemption: recordOf(token, context, now),
      now,
      context,
    };
    let outcome = await this.#redeem(presented);
    // Whoever held the row rolled back; once more is enough, or the database is in trouble.
    if (outcome.kind === 'again') outcome = await this.#redeem(presented);
    rotations.inc({ outcome: outcome.kind });
    switch (outcome.kind) {
      case 'redeemed':
        return issuer.issue({
          ...outcome.session,
          sessionId: token.sessionId,
          sessionKey: outcome.sessionKey,
          tokenId: newId(),
          now,
        });
      case 'again':
        throw new AppError('unavailable', { internal: { reason: 'the session kept changing hands' } });
      case 'reuse':
        reuses.inc({ age: outcome.age });
        log.warn({ sessionId: token.sessionId, age: outcome.age }, 'session.reuse_detected');
        throw new AppError('invalid_grant');
      case 'refused':
        throw new AppError('invalid_grant');
    }
  }

  /**
   * Commits what the presented token leads to. A refusal is a result, not an error: an error would undo the commit.
   * That is what becomes of a token that the session did not mint: whatever it has led to is rolled back.
   */
  #redeem(presented: Presented): Promise<Outcome> {
    const { outbox, idleSeconds, ending } = this.#parts;
    const { token, now, retryKey = null, redemption } = presented;
    return ending.inForceAfter(async (tx) => {
      const session = await outbox.appendWith<SessionState>(
        tx,
        {
          ...rotation({
            sessionId: token.sessionId,
            accountId: token.accountId,
            presentedGeneration: token.generation,
            now,
            idleSeconds,
            retryKey,
            redemption,
          }),
          draft: {
            type: 'identity.session.refreshed.v1',
            resourceId: token.sessionId,
            change: { before: { generation: token.generation }, after: { generation: token.generation + 1 } },
          },
        },
        actingAs(token, presented.context),
      );
      if (session === undefined) return this.#judge(tx, presented);
      const sessionKey = this.#openKey(session, token);
      annotate({ [mark.rotation]: 'rotated' });
      return { kind: 'redeemed', session, sessionKey };
    });
  }

  /** Throws `invalid_grant` unless the token was minted with the key of this session. */
  #openKey({ sealedKey }: SessionState, token: RefreshToken): KeyObject {
    const sessionKey = createSecretKey(this.#parts.envelope.open(sealedKey, sessionContext(token.sessionId)));
    if (!isMintedBy(sessionKey, token)) throw new AppError('invalid_grant');
    return sessionKey;
  }

  async #judge(tx: Tx, presented: Presented): Promise<Outcome> {
    const { token, retryKey, now } = presented;
    const session = await lockSession(tx, token.sessionId, now);
    if (session === undefined) return { kind: 'refused' };
    const sessionKey = this.#openKey(session, token);
    // The answer to the call that ended it may have been lost: nobody is told before it is so everywhere.
    if (session.isRevoked) await this.#parts.ending.confirm(tx);
    const standing: Standing = judgeRedemption({
      presentedGeneration: token.generation,
      currentGeneration: session.generation,
      isLive: session.isLive,
      rotatedAt: session.rotatedAt,
      isSameRequest: retryKey !== undefined && session.retryKey?.equals(retryKey) === true,
      now,
      reuseWindowSeconds: this.#parts.reuseWindowSeconds,
    });
    annotate({ [mark.rotation]: standing.kind });
    switch (standing.kind) {
      case 'repeat':
        return { kind: 'redeemed', session, sessionKey };
      case 'current':
        return { kind: 'again' };
      case 'dead':
        return { kind: 'refused' };
      case 'ahead':
        this.#parts.log.error(
          { sessionId: token.sessionId, presented: token.generation, current: session.generation },
          'session.generation_ahead',
        );
        return { kind: 'refused' };
      case 'reuse':
        await this.#endFamily(tx, { session, presented, age: standing.age });
        return { kind: 'reuse', age: standing.age };
    }
  }

  /** The family, and one event that names both redemptions: the one that was answered and the one that came after. */
  async #endFamily(
    tx: Tx,
    { session, presented, age }: { session: SessionState; presented: Presented; age: 'recent' | 'stale' },
  ): Promise<void> {
    const { outbox, ending } = this.#parts;
    const { token, redemption, now } = presented;
    await endSession(tx, { sessionId: token.sessionId, accountId: session.accountId, reason: 'reuse', now });
    const first = session.redemptions.find(({ generation }) => generation === token.generation);
    await outbox.append(
      tx,
      {
        type: 'identity.session.reuse_detected.v1',
        resourceId: token.sessionId,
        outcome: 'denied',
        reasonCode: age,
        change: {
          // Older redemptions than the session remembers are found in the log by session and generation.
          before: {
            accountId: session.accountId,
            generation: session.generation,
            redemption: first ?? { generation: token.generation },
          },
          after: { redemption },
        },
      },
      presented.context,
    );
    await ending.revoke(tx, [{ kind: 'session', sessionId: token.sessionId }]);
  }
}

/** As the token says; by the time that an event of this is committed, the token has been found authentic. */
function actingAs({ accountId, sessionId }: RefreshToken, context: CallContext): CallContext {
  return { ...context, actor: { type: 'user', id: accountId, sessionId } };
}

function recordOf(token: RefreshToken, context: CallContext, now: Date): RedemptionRecord {
  return {
    generation: token.generation,
    at: now.toISOString(),
    ip: context.ip ?? null,
    userAgent: context.userAgent ?? null,
    correlationId: context.correlationId,
  };
}
