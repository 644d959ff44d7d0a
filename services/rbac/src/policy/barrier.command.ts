import type { Effect } from '@prime-nest/contracts/rbac';
import type { Database, Tx } from '@prime-nest/kit/database';
import type { Clocks } from '@prime-nest/kit/lease';
import type { Logger } from '@prime-nest/kit/log';
import { type LiveMembers, MemberBarrier } from '@prime-nest/kit/member-barrier';
import { barrierTimes, fenced as fencedMembers } from '../telemetry.js';
import { leaseMsMax } from './guarantee.js';
import { readAcked, readLiveMembers } from './member.store.js';

export interface BarrierOptions {
  readonly database: Database;
  readonly clocks: Clocks;
  readonly log: Logger;
  /** Tells the members that there is a new revision. May lose the message. */
  readonly announce: (revision: number) => void;
}

/**
 * When a mutation is in effect: once no member decides by an older revision, because each has applied the new one or
 * its lease has ended. Takes the longest lease and its margin at most.
 */
export class RevisionBarrier {
  readonly #options: BarrierOptions;
  readonly #members: MemberBarrier;

  constructor(options: BarrierOptions) {
    this.#options = options;
    const { clocks, database } = options;
    this.#members = new MemberBarrier({
      clocks,
      leaseMsMax,
      readAcked: (memberIds, revision) => readAcked(database, memberIds, revision),
    });
  }

  /** Call it last under the lock: leases that begin later begin at the new revision. */
  async liveMembers(tx: Tx): Promise<LiveMembers> {
    return this.#members.deadlines(await readLiveMembers(tx));
  }

  /** A member says that it decides by nothing older than `revision`. */
  noteApplied(memberId: string, revision: number): void {
    this.#members.noteApplied(memberId, revision);
  }

  async wait(revision: number, live: LiveMembers): Promise<Effect> {
    const { announce, log } = this.#options;
    announce(revision);
    const { barrierMs: tookMs, acked, fenced } = await this.#members.wait(revision, live);
    const barrierMs = Math.round(tookMs * 100) / 100;
    barrierTimes.observe(barrierMs / 1000);
    const fields = { revision, barrierMs, acked: acked.length, fenced: fenced.length };
    if (fenced.length > 0) {
      fencedMembers.inc(fenced.length);
      log.warn({ ...fields, members: fenced }, 'policy.effective_after_fencing');
    } else log.info(fields, 'policy.effective');
    return { revision, effective: 'all', barrierMs, acked: [...acked], fenced: [...fenced] };
  }
}
