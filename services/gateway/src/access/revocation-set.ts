import type { AccessTokenClaims } from '@prime-nest/contracts/claims';
import type { Revocation } from '@prime-nest/contracts/identity';

export interface RevocationMessage {
  /** Of the last of `revocations`, which are numbered one by one up to it. */
  readonly sequence: number;
  readonly revocations: readonly Revocation[];
}

interface Entry {
  readonly untilMs: number;
  /** On the clock that never jumps: not thrown away before. */
  readonly keptUntilMonoMs: number;
}

interface Epoch extends Entry {
  readonly minEpoch: number;
}

const pruneEveryMs = 60_000;
/** The longest that identity makes an access token live (`ACCESS_TOKEN_TTL_SECONDS`). */
const keptMs = 3_600_000;
const aheadMax = 1_000;

/**
 * What has been revoked although its signature still holds. It only ever gains entries until they end by themselves:
 * no message, however late or repeated, brings a session back. Nor does a wall clock that leaps ahead and is set back: an
 * entry is thrown away when the clock that never jumps says, too, that no token can need it any more. It knows up to
 * which number nothing is missing.
 */
export class RevocationSet {
  readonly #monoMs: () => number;
  readonly #sessions = new Map<string, Entry>();
  readonly #epochs = new Map<string, Epoch>();
  /** Messages that came before an earlier one: where each ends, by where it begins. */
  readonly #ahead = new Map<number, number>();
  #sequence = 0;
  #prunedAtMonoMs = Number.NEGATIVE_INFINITY;

  constructor(monoMs: () => number) {
    this.#monoMs = monoMs;
  }

  /** Everything up to here is known. 0 before the first list. */
  get sequence(): number {
    return this.#sequence;
  }

  isRevoked({ sid, sub, ver }: AccessTokenClaims, nowMs: number): boolean {
    const session = this.#sessions.get(sid);
    if (session !== undefined && session.untilMs > nowMs) return true;
    const epoch = this.#epochs.get(sub);
    return epoch !== undefined && epoch.untilMs > nowMs && ver < epoch.minEpoch;
  }

  /** Takes the answer to the question for everything after `after`. */
  load({ after, sequence, revocations }: RevocationMessage & { readonly after: number }, nowMs: number): void {
    this.#add(revocations, nowMs);
    // Otherwise the numbers began anew while the answer was under way.
    if (after <= this.#sequence) this.#advance(sequence);
  }

  /**
   * Takes one message of the feed. Answers whether nothing up to its number is missing; what it carries counts in
   * any case.
   */
  apply({ sequence, revocations }: RevocationMessage, nowMs: number): boolean {
    this.#add(revocations, nowMs);
    const before = sequence - revocations.length;
    if (before <= this.#sequence) this.#advance(sequence);
    else if (revocations.length > 0 && this.#ahead.size < aheadMax) this.#ahead.set(before, sequence);
    return this.#sequence >= sequence;
  }

  /** The numbers begin anew: whoever counts them has been restored from a copy. What is known stays. */
  restart(): void {
    this.#sequence = 0;
    this.#ahead.clear();
  }

  #advance(sequence: number): void {
    this.#sequence = Math.max(this.#sequence, sequence);
    for (let end = this.#ahead.get(this.#sequence); end !== undefined; end = this.#ahead.get(this.#sequence)) {
      this.#ahead.delete(this.#sequence);
      this.#sequence = end;
    }
    for (const before of this.#ahead.keys()) if (before < this.#sequence) this.#ahead.delete(before);
  }

  #add(revocations: readonly Revocation[], nowMs: number): void {
    const monoMs = this.#monoMs();
    const keptUntilMonoMs = monoMs + keptMs;
    for (const revocation of revocations) {
      const until = Date.parse(revocation.until);
      if (revocation.kind === 'session') {
        const untilMs = Math.max(until, this.#sessions.get(revocation.sessionId)?.untilMs ?? 0);
        this.#sessions.set(revocation.sessionId, { untilMs, keptUntilMonoMs });
      } else {
        const known = this.#epochs.get(revocation.accountId);
        this.#epochs.set(revocation.accountId, {
          minEpoch: Math.max(revocation.minEpoch, known?.minEpoch ?? 0),
          untilMs: Math.max(until, known?.untilMs ?? 0),
          keptUntilMonoMs,
        });
      }
    }
    if (monoMs - this.#prunedAtMonoMs > pruneEveryMs) this.#prune(nowMs, monoMs);
  }

  #prune(nowMs: number, monoMs: number): void {
    this.#prunedAtMonoMs = monoMs;
    for (const entries of [this.#sessions, this.#epochs] as const) {
      for (const [id, { untilMs, keptUntilMonoMs }] of entries)
        if (untilMs <= nowMs && keptUntilMonoMs <= monoMs) entries.delete(id);
    }
  }
}
