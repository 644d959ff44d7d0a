import { hash } from 'node:crypto';
import type { AccessTokenClaims } from '@prime-nest/contracts/claims';
import { LRUCache } from 'lru-cache';

const entriesMax = 20_000;
const keptMsMax = 60_000;

interface Entry {
  readonly claims: AccessTokenClaims;
  readonly untilMs: number;
  readonly generation: number;
}

/**
 * Remembers tokens that have been verified, by the SHA-256 of their bytes, so that a token costs one signature check
 * a minute and not one per request. An entry ends with its token, after 60 s, and with any change of the key set.
 * A hit says that the signature holds and the token has not expired; whether it was revoked is asked every time.
 */
export class ClaimsCache {
  readonly #entries = new LRUCache<string, Entry>({ max: entriesMax });

  get(compact: string, nowMs: number, generation: number): AccessTokenClaims | undefined {
    const entry = this.#entries.get(keyOf(compact));
    if (entry === undefined || nowMs >= entry.untilMs || entry.generation !== generation) return undefined;
    return entry.claims;
  }

  put(compact: string, claims: AccessTokenClaims, nowMs: number, generation: number): void {
    const untilMs = Math.min(claims.exp * 1000, nowMs + keptMsMax);
    this.#entries.set(keyOf(compact), { claims, untilMs, generation });
  }
}

/** Never the text itself: a heap dump of the cache must not be a list of credentials. */
function keyOf(compact: string): string {
  return hash('sha256', compact, 'base64');
}
