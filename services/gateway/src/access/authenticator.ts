import type { AccessTokenClaims } from '@prime-nest/contracts/claims';
import { AppError } from '@prime-nest/contracts/errors';
import { type Clocks, type Lease, momentOf } from '@prime-nest/kit/lease';
import { verifyAccessToken } from './access-token.js';
import type { TokenPolicy } from './access-token.js';
import type { ClaimsCache } from './claims-cache.js';
import type { KeySet } from './key-set.js';
import { ambiguous, bearerToken } from './principal.js';
import type { Principal } from './principal.js';
import type { RevocationSet } from './revocation-set.js';

export interface AuthenticatorOptions {
  readonly keys: KeySet;
  readonly cache: ClaimsCache;
  readonly revocations: RevocationSet;
  /** While it is held, `revocations` lacks nothing that has been answered. */
  readonly lease: Lease;
  readonly clocks: Clocks;
  readonly policy: TokenPolicy;
  readonly onUnknownKey: () => Promise<void>;
}

/**
 * Who a request speaks for, or why that is not known. With `unavailable` the token is good as far as this process can
 * tell, and `principal` says whose it is, but nothing may be done on its behalf.
 */
export interface Authentication {
  readonly principal?: Principal;
  readonly failure?: AppError;
  /** How a good token is known to be good: by its signature now, or from the memory of an earlier check. */
  readonly source?: 'signature' | 'memory';
}

/**
 * Turns the headers of a request into its principal: verified by signature or by the memory of one, then held against
 * the revocations, on every request. Asks nobody, except once in a while for a key it does not know.
 */
export class Authenticator {
  readonly #options: AuthenticatorOptions;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  authenticate(rawHeaders: readonly string[], now: Date): Authentication | Promise<Authentication> {
    const compact = bearerToken(rawHeaders);
    if (compact === undefined) return { failure: new AppError('token_missing') };
    if (compact === ambiguous) return rejected('token_invalid', 'authorization header');
    const { keys, cache } = this.#options;
    if (!keys.isLoaded) return { failure: new AppError('unavailable', { internal: { reason: 'no keys yet' } }) };
    const known = cache.get(compact, now.getTime(), keys.generation);
    if (known !== undefined) return this.#standing(known, 'memory', now);
    const verdict = verifyAccessToken(compact, keys, now, this.#options.policy);
    if ('claims' in verdict) return this.#accept(compact, verdict.claims, now);
    if (verdict.reason === 'unknown_key') return this.#tryAgain(compact, now);
    return rejected(verdict.code, verdict.reason);
  }

  async #tryAgain(compact: string, now: Date): Promise<Authentication> {
    await this.#options.onUnknownKey();
    const verdict = verifyAccessToken(compact, this.#options.keys, now, this.#options.policy);
    return 'claims' in verdict ? this.#accept(compact, verdict.claims, now) : rejected(verdict.code, verdict.reason);
  }

  #accept(compact: string, claims: AccessTokenClaims, now: Date): Authentication {
    this.#options.cache.put(compact, claims, now.getTime(), this.#options.keys.generation);
    return this.#standing(claims, 'signature', now);
  }

  #standing(claims: AccessTokenClaims, source: 'signature' | 'memory', now: Date): Authentication {
    const { revocations, lease, clocks } = this.#options;
    if (revocations.isRevoked(claims, now.getTime())) return { ...rejected('session_revoked', 'revoked'), source };
    const principal = { id: claims.sub, sessionId: claims.sid };
    // Read here and not when the request came in: a question to identity may lie between the two.
    if (lease.isHeld(momentOf(clocks))) return { principal, source };
    return {
      principal,
      source,
      failure: new AppError('unavailable', { internal: { reason: 'revocations are stale' } }),
    };
  }
}

function rejected(code: 'token_invalid' | 'token_expired' | 'session_revoked', reason: string): Authentication {
  return { failure: new AppError(code, { internal: { reason } }) };
}
