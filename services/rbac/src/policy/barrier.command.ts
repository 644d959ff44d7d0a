import type { Effect } from '@prime-nest/contracts/rbac';
import type { Database, Tx } from '@prime-nest/kit/database';
import type { Logger } from '@prime-nest/kit/log';
import { type Clocks, clockRateErrorMax } from '@prime-nest/kit/lease';
import { barrierTimes, fenced as fencedMembers } from '../telemetry.js';
import { readAcked, readLiveMembers } from './member.store.js';

/** The members that may decide without asking, each with the moment (monotonic clock) from which it cannot any more. */
export type LiveMembers = ReadonlyMap<string, number>;

export interface BarrierOptions {
  readonly database: Database;
  readonly clocks: Clocks;
  readonly log: Logger;
  /** Tells the members that there is a new revision. May lose the message. */
  readonly announce: (revision: number) => void;
}

const pollMs = 20;
/** For timers and statements that are a little late. */
const marginMs = 10;

/**
 * Waits until no member decides by an older revision: each has said that it applied the new one, or its lease has
 * ended. Messages make it fast; when they are lost the table of members tells, and when a member is gone its lease
 * runs out, so the wait ends within the lease whatever happens.
 */
export class Barrier {
  readonly #options: BarrierOptions;
  readonly #applied = new Map<string, number>();
  readonly #waiting = new Set<() => void>();

  constructor(options: BarrierOptions) {
    this.#options = options;
  }

  /** Call it last under the lock: leases that begin later begin at the new revision. */
  async liveMembers(tx: Tx): Promise<LiveMembers> {
    const rows = await readLiveMembers(tx);
    const readAtMs = this.#options.clocks.monoMs();
    return new Map(rows.map((row) => [row.memberId, readAtMs + row.leftMs * (1 + clockRateErrorMax) + marginMs]));
  }

  /** A member says that it decides by nothing older than `revision`. */
  noteApplied(memberId: string, revision: number): void {
    if (revision <= (this.#applied.get(memberId) ?? -1)) return;
    // The last is the newest: members that are gone fall out at the front.
    this.#applied.delete(memberId);
    this.#applied.set(memberId, revision);
    const [oldest] = this.#applied.keys();
    if (this.#applied.size > 1_000 && oldest !== undefined) this.#applied.delete(oldest);
    for (const wake of this.#waiting) wake();
  }

  async wait(revision: number, live: LiveMembers): Promise<Effect> {
    const { clocks, announce, log } = this.#options;
    const startedAt = clocks.monoMs();
    const pending = new Map(live);
    const acked: string[] = [];
    const fenced: string[] = [];
    let isPolling = false;
    announce(revision);
    for (;;) {
      for (const [memberId, deadline] of pending) {
        if ((this.#applied.get(memberId) ?? -1) >= revision) acked.push(memberId);
        else if (clocks.monoMs() >= deadline) fenced.push(memberId);
        else continue;
        pending.delete(memberId);
      }
      if (pending.size === 0) break;
      const isWoken = await this.#pause(Math.min(...pending.values()) - clocks.monoMs());
      // Beside the wait, not in it: a database that hangs must not hold the answer up past the leases.
      if (!isWoken && !isPolling) {
        isPolling = true;
        void this.#poll(revision, [...pending.keys()]).finally(() => (isPolling = false));
      }
    }
    const barrierMs = Math.round((clocks.monoMs() - startedAt) * 100) / 100;
    barrierTimes.observe(barrierMs / 1000);
    if (fenced.length > 0) fencedMembers.inc(fenced.length);
    const fields = { revision, barrierMs, acked: acked.length, fenced: fenced.length };
    if (fenced.length > 0) log.warn({ ...fields, members: fenced }, 'policy.effective_after_fencing');
    else log.info(fields, 'policy.effective');
    return { revision, effective: 'all', barrierMs, acked, fenced };
  }

  async #poll(revision: number, memberIds: string[]): Promise<void> {
    // Without the database there is nobody to ask; the leases run out all the same.
    const acked = await readAcked(this.#options.database, memberIds, revision).catch(() => []);
    for (const memberId of acked) this.noteApplied(memberId, revision);
  }

  /** Whether a message came before the time for a poll. */
  #pause(untilDeadlineMs: number): Promise<boolean> {
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
        Math.max(1, Math.min(pollMs, untilDeadlineMs)),
      );
      this.#waiting.add(wake);
    });
  }
}
