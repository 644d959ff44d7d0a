/** What is known when a refresh token could not simply take its session to the next generation. */
export interface Redemption {
  readonly presentedGeneration: number;
  readonly currentGeneration: number;
  /** Not revoked, not expired, and the account and its credentials are still those of the sign-in. */
  readonly isLive: boolean;
  /** When the current generation was minted. */
  readonly rotatedAt: Date;
  /** The request carries the same Idempotency-Key as the one that minted the current generation. */
  readonly isSameRequest: boolean;
  readonly now: Date;
  /** How long a superseded token may be presented again by anybody; 0 is strict. */
  readonly reuseWindowSeconds: number;
}

/**
 * - `dead`: nothing to redeem.
 * - `current`: still redeemable; whoever stood in the way is gone, so try again.
 * - `repeat`: the answer that was given (or lost) is given again; nothing changes.
 * - `reuse`: somebody else holds this session's tokens, so nobody may go on with it. `recent` is the token before the
 *   current one, `stale` an older one.
 * - `ahead`: authentic, but of a generation that does not exist: a restored backup, or a session key that leaked.
 */
export type Standing =
  | { readonly kind: 'dead' | 'current' | 'repeat' | 'ahead' }
  | { readonly kind: 'reuse'; readonly age: 'recent' | 'stale' };

/** How long a retry with the same Idempotency-Key gets the same answer, in seconds. */
export const retryWindowSeconds = 60;

export function judgeRedemption(redemption: Redemption): Standing {
  const { presentedGeneration, currentGeneration, isLive, rotatedAt, isSameRequest, now, reuseWindowSeconds } =
    redemption;
  if (!isLive) return { kind: 'dead' };
  const behind = currentGeneration - presentedGeneration;
  if (behind < 0) return { kind: 'ahead' };
  if (behind === 0) return { kind: 'current' };
  // Two or more behind is never a retry: its successor has been redeemed, so it was not lost.
  if (behind > 1) return { kind: 'reuse', age: 'stale' };
  const ageMs = now.getTime() - rotatedAt.getTime();
  const isRetry = isSameRequest && ageMs <= retryWindowSeconds * 1000;
  const isOverlap = reuseWindowSeconds > 0 && ageMs <= reuseWindowSeconds * 1000;
  return isRetry || isOverlap ? { kind: 'repeat' } : { kind: 'reuse', age: 'recent' };
}
