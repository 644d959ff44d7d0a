import { type Clocks, clockRateErrorMax } from './lease.js';

/** A member's lease as the database has just shown it. */
export interface LeaseLeft {
  readonly memberId: string;
  readonly leftMs: number;
}

/** The members that may go on without asking, each with the moment (monotonic clock) from which it cannot any more. */
export type LiveMembers = ReadonlyMap<string, number>;

export interface Effect {
  readonly barrierMs: number;
  /** Members that have said they applied it. */
  readonly acked: readonly string[];
  /** Members that said nothing until their lease had ended. */
  readonly fenced: readonly string[];
}

export interface MemberBarrierOptions {
  readonly clocks: Clocks;
  /** No lease was ever given for longer: what the database shows beyond is a clock that was set back. */
  readonly leaseMsMax: number;
  /** Which of the members have recorded that they applied `position`: for when messages are lost. */
  readonly readAcked: (memberIds: readonly string[], position: number) => Promise<readonly string[]>;
}

const pollMsMin = 20;
const pollMsMax = 200;
/** For timers and statements that are a little late. */
const marginMs = 10;
const rememberedMax = 1_000;

/** The longest that a wait can take. */
export function barrierMsMax(leaseMs: number): number {
  return Math.ceil(leaseMs * (1 + clockRateErrorMax) + marginMs);
}

/**
 * Waits until no member goes by an older position of a numbered history: each has said that it applied the new one,
 * or its lease has ended. Messages make it fast; when they are lost the table of members tells, and when a member is
 * gone its lease runs out, so the wait ends within the lease whatever happens.
 */
export class MemberBarrier {
  readonly #options: MemberBarrierOptions;
  readonly #applied = new Map<string, number>();
  readonly #waiting = new Set<() => void>();

  constructor(options: MemberBarrierOptions) {
    this.#options = options;
  }

  /**
   * Call it as soon as the leases have been read. They have to be read by a statement that sees every lease given
   * before the new position could be seen: after the commit, or under the lock that renewals need too.
   */
  deadlines(leases: readonly LeaseLeft[]): LiveMembers {
    const { clocks, leaseMsMax } = this.#options;
    const nowMs = clocks.monoMs();
    return new Map(
      leases.map(({ memberId, leftMs }) => [memberId, nowMs + barrierMsMax(Math.min(leftMs, leaseMsMax))]),
    );
  }

  /** A member says that it goes by nothing older than `position`. */
  noteApplied(memberId: string, position: number): void {
    if (position <= (this.#applied.get(memberId) ?? -1)) return;
    // The last is the newest: members that are gone fall out at the front.
    this.#applied.delete(memberId);
    this.#applied.set(memberId, position);
    const [oldest] = this.#applied.keys();
    if (this.#applied.size > rememberedMax && oldest !== undefined) this.#applied.delete(oldest);
    for (const wake of this.#waiting) wake();
  }

  async wait(position: number, live: LiveMembers): Promise<Effect> {
    const { clocks } = this.#options;
    const startedAtMs = clocks.monoMs();
    const pending = new Map(live);
    const acked: string[] = [];
    const fenced: string[] = [];
    let pollMs = pollMsMin;
    let isPolling = false;
    for (;;) {
      for (const [memberId, deadlineMs] of pending) {
        if ((this.#applied.get(memberId) ?? -1) >= position) acked.push(memberId);
        else if (clocks.monoMs() >= deadlineMs) fenced.push(memberId);
        else continue;
        pending.delete(memberId);
      }
      if (pending.size === 0) return { barrierMs: clocks.monoMs() - startedAtMs, acked, fenced };
      const isWoken = await this.#pause(Math.min(pollMs, Math.min(...pending.values()) - clocks.monoMs()));
      if (isWoken || isPolling) continue;
      pollMs = Math.min(pollMs * 2, pollMsMax);
      isPolling = true;
      // Beside the wait, not in it: a database that hangs must not hold the answer up past the leases.
      void this.#poll([...pending.keys()], position).finally(() => (isPolling = false));
    }
  }

  async #poll(memberIds: readonly string[], position: number): Promise<void> {
    // Without the database there is nobody to ask; the leases run out all the same.
    const acked = await this.#options.readAcked(memberIds, position).catch(() => []);
    for (const memberId of acked) this.noteApplied(memberId, position);
  }

  /** Whether a message came before the time was over. */
  #pause(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (isWoken: boolean) => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve(isWoken);
      };
      const wake = () => {
        end(true);
      };
      const timer = setTimeout(
        () => {
          end(false);
        },
        Math.max(1, ms),
      );
      this.#waiting.add(wake);
    });
  }
}
