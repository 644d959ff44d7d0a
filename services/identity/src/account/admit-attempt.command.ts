import type { Database } from '@prime-nest/kit/database';
import type { Clock } from '@prime-nest/kit/clock';
import type { Clocks } from '@prime-nest/kit/lease';
import { Turns } from '../turns.js';
import type { Lane, LockoutPolicy } from './lockout.js';
import { chargeLanes, type Admission } from './lockout.store.js';

export interface AdmissionParts {
  readonly database: Database;
  readonly policy: LockoutPolicy;
  readonly clock: Clock;
  readonly clocks: Clocks;
}

/** An answer about a lane, and since when it is known. */
type Seen = Admission & { readonly seenMs: number };

/** Well within the deadline of a sign-in: what is admitted last must still be compared. */
const patienceMs = 700;
/** Attempts that other processes settle are not announced here. */
const lookMs = 25;

/**
 * Lets attempts in, one after the other in each lane. While a lane is busy with attempts that are being compared, the
 * next one waits for them: they are about to end, and the owner of the right password should not be turned away for
 * having asked twice.
 */
export class AdmitAttempt {
  readonly #parts: AdmissionParts;
  readonly #lines = new Turns<Seen>();
  /** Whoever stands first in a line and waits. */
  readonly #waiting = new Map<string, () => void>();

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  /** A charge, or why there is none: `busy` only when that lasted. */
  run(lane: Lane, source: Lane | undefined): Promise<Admission> {
    const askedMs = this.#parts.clocks.monoMs();
    const line = lane.key.toString('hex');
    return this.#lines.take(line, async (before) => {
      if (before !== undefined && this.#holdsFor(before, askedMs)) return before;
      for (;;) {
        const seenMs = this.#parts.clocks.monoMs();
        const { database, policy, clock } = this.#parts;
        const admission = await chargeLanes(database, { lane, source, policy, now: clock() });
        if (admission.kind !== 'busy' || this.#isOutOfPatience(askedMs)) return { ...admission, seenMs };
        await this.#settlement(line);
      }
    });
  }

  /** Call it when a charge of the lane has been settled: whoever waits looks again. */
  noteSettled(lane: Lane): void {
    this.#waiting.get(lane.key.toString('hex'))?.();
  }

  /** What the one before was told about the lane itself was seen after this one had asked: a crowd is one question. */
  #holdsFor(before: Seen, askedMs: number): boolean {
    if (before.kind === 'admitted' || !before.isOwn || before.seenMs < askedMs) return false;
    return before.kind === 'locked' || this.#isOutOfPatience(askedMs);
  }

  #isOutOfPatience(askedMs: number): boolean {
    return this.#parts.clocks.monoMs() - askedMs >= patienceMs;
  }

  async #settlement(line: string): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, lookMs);
      this.#waiting.set(line, () => {
        clearTimeout(timer);
        resolve();
      });
    });
    this.#waiting.delete(line);
  }
}
