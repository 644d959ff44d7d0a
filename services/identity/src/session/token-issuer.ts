import type { KeyObject } from 'node:crypto';
import type { TokenResponse } from '@prime-nest/contracts/identity';
import { signAccessToken } from '../signing/access-token.js';
import type { SigningKeys } from '../signing/signing-keys.js';
import { mintRefreshToken } from './refresh-token.js';

export interface TokenPolicy {
  readonly issuer: string;
  readonly audience: string;
  readonly accessTtlSeconds: number;
}

export interface IssuedSession {
  readonly sessionId: string;
  readonly sessionKey: KeyObject;
  readonly accountId: string;
  readonly credentialEpoch: number;
  readonly generation: number;
  readonly idleExpiresAt: Date;
  readonly expiresAt: Date;
  /** Id of the access token. */
  readonly tokenId: string;
  /** Taken before the transaction that the session was read or written in. */
  readonly now: Date;
}

/**
 * The token answer (RFC 6749 §5.1) of a session at its generation. The refresh token is the same each time it is made
 * for a generation; the access token is new and lives no longer than the session. Throws `unavailable` without a key.
 */
export class TokenIssuer {
  readonly #keys: SigningKeys;
  readonly #policy: TokenPolicy;

  constructor(keys: SigningKeys, policy: TokenPolicy) {
    this.#keys = keys;
    this.#policy = policy;
  }

  /** Throws `unavailable` when nothing could be signed now: to be asked before a session is changed. */
  assertReady(): void {
    this.#keys.signer();
  }

  async issue(session: IssuedSession): Promise<TokenResponse> {
    const { sessionId, sessionKey, accountId, credentialEpoch, generation, idleExpiresAt, expiresAt, tokenId, now } =
      session;
    const iat = Math.floor(now.getTime() / 1000);
    const lifetime = Math.min(this.#policy.accessTtlSeconds, secondsBetween(now, expiresAt));
    const claims = {
      iss: this.#policy.issuer,
      aud: this.#policy.audience,
      sub: accountId,
      sid: sessionId,
      jti: tokenId,
      iat,
      exp: iat + lifetime,
      ver: credentialEpoch,
    };
    return {
      access_token: await signAccessToken(claims, this.#keys.signer()),
      token_type: 'Bearer',
      expires_in: lifetime,
      refresh_token: mintRefreshToken(sessionKey, { sessionId, accountId, generation }),
      refresh_expires_in: secondsBetween(now, idleExpiresAt),
      session_id: sessionId,
    };
  }
}

function secondsBetween(from: Date, to: Date): number {
  return Math.max(0, Math.floor((to.getTime() - from.getTime()) / 1000));
}
