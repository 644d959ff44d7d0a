import type { AccessTokenClaims } from '@prime-nest/contracts/claims';
import type { Revocation } from '@prime-nest/contracts/identity';

export interface RevocationMessage {
  readonly sequence: number;
  readonly revocations: readonly Revocation[];
}

interface Epoch {
  readonly minEpoch: number;
  readonly untilMs: number;
}

const pruneEveryMs = 60_000;

/**
 * What has been revoked although its signature still holds. It only ever gains entries until they end by themselves:
 * no message, however late or repeated, brings a session back. It knows until when it was complete, and
 * {@link isFresh} turns false `boundMs` after that, whatever the reason.
 */
export class RevocationSet {
  readonly #sessions = new Map<string, number>();
  readonly #epochs = new Map<string, Epoch>();
  readonly #boundMs: number;
  #sequence: number | undefined;
  #completeAtMs = Number.NEGATIVE_INFINITY;
  #prunedAtMs = Number.NEGATIVE_INFINITY;

  constructor(boundMs: number) {
    this.#boundMs = boundMs;
  }

  isFresh(nowMs: number): boolean {
    return nowMs - this.#completeAtMs <= this.#boundMs;
  }

  /** Milliseconds since everything that was revoked was known here. */
  ageMs(nowMs: number): number {
    return nowMs - this.#completeAtMs;
  }

  isRevoked({ sid, sub, ver }: AccessTokenClaims, nowMs: number): boolean {
    const sessionUntilMs = this.#sessions.get(sid);
    if (sessionUntilMs !== undefined && sessionUntilMs > nowMs) return true;
    const epoch = this.#epochs.get(sub);
    return epoch !== undefined && epoch.untilMs > nowMs && ver < epoch.minEpoch;
  }

  /** Takes a complete list that was asked for at `askedAtMs`: from that instant on nothing is missing. */
  load({ sequence, revocations }: RevocationMessage, askedAtMs: number): void {
    this.#add(revocations, askedAtMs);
    this.#sequence = sequence;
    this.#completeAtMs = Math.max(this.#completeAtMs, askedAtMs);
  }

  /**
   * Takes one message of the feed. Answers false when something between it and the one before is missing: what it
   * carries counts all the same, but the set is not complete until {@link load}.
   */
  apply({ sequence, revocations }: RevocationMessage, nowMs: number): boolean {
    this.#add(revocations, nowMs);
    if (this.#sequence === undefined || sequence - revocations.length !== this.#sequence) {
      const isRepeat = revocations.length > 0 && sequence === this.#sequence;
      if (!isRepeat) return false;
    }
    this.#sequence = sequence;
    this.#completeAtMs = Math.max(this.#completeAtMs, nowMs);
    return true;
  }

  #add(revocations: readonly Revocation[], nowMs: number): void {
    for (const revocation of revocations) {
      const untilMs = Date.parse(revocation.until);
      if (revocation.kind === 'session') {
        this.#sessions.set(revocation.sessionId, Math.max(untilMs, this.#sessions.get(revocation.sessionId) ?? 0));
      } else {
        const known = this.#epochs.get(revocation.accountId);
        this.#epochs.set(revocation.accountId, {
          minEpoch: Math.max(revocation.minEpoch, known?.minEpoch ?? 0),
          untilMs: Math.max(untilMs, known?.untilMs ?? 0),
        });
      }
    }
    if (nowMs - this.#prunedAtMs > pruneEveryMs) this.#prune(nowMs);
  }

  #prune(nowMs: number): void {
    this.#prunedAtMs = nowMs;
    for (const [id, untilMs] of this.#sessions) if (untilMs <= nowMs) this.#sessions.delete(id);
    for (const [id, { untilMs }] of this.#epochs) if (untilMs <= nowMs) this.#epochs.delete(id);
  }
}
