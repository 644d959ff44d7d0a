import { revocationLeaseMs } from '@prime-nest/contracts/identity';
import type { Database, Queryable } from '@prime-nest/kit/database';
import type { Clocks } from '@prime-nest/kit/lease';
import type { Logger } from '@prime-nest/kit/log';
import { type LiveMembers, MemberBarrier } from '@prime-nest/kit/member-barrier';
import { barrierTimes, fencedGateways } from '../telemetry.js';
import { endLease, readAcked, readLiveMembers, renewLease, type Renewal } from './gateway-member.store.js';
import { type AppendedRevocations, type RevocationBatch, revocationHead } from './revocation.store.js';

export interface RevocationForceParts {
  readonly database: Database;
  readonly clocks: Clocks;
  readonly log: Logger;
  /** Tells the gateways. May lose the message. */
  readonly announce: (batch: RevocationBatch) => void;
}

/** A committed point of the list of revocations, and the gateways that may not have reached it. */
export interface Standpoint {
  readonly batch: RevocationBatch;
  readonly live: LiveMembers;
}

/**
 * When a revocation is in force: once every gateway refuses what it revokes. Gateways accept tokens within leases
 * that are recorded here, and each lease begins with the gateway knowing all revocations of that moment; so whoever
 * revokes waits until every gateway with a lease has said that it knows, or the lease has ended.
 */
export class RevocationForce {
  readonly #parts: RevocationForceParts;
  readonly #barrier: MemberBarrier;

  constructor(parts: RevocationForceParts) {
    this.#parts = parts;
    const { clocks, database } = parts;
    this.#barrier = new MemberBarrier({
      clocks,
      leaseMsMax: revocationLeaseMs,
      readAcked: (memberIds, sequence) => readAcked(database, memberIds, sequence),
    });
  }

  /** Answers the head, which the gateway has to know before its lease counts. */
  async renew(renewal: Renewal): Promise<number> {
    const sequence = await this.#parts.database.transaction((tx) => renewLease(tx, renewal));
    this.noteApplied(renewal.memberId, Math.min(renewal.appliedSequence, sequence));
    return sequence;
  }

  async end(memberId: string): Promise<void> {
    await endLease(this.#parts.database, memberId);
  }

  noteApplied(memberId: string, sequence: number): void {
    this.#barrier.noteApplied(memberId, sequence);
  }

  /** Call it as soon as the revocations have been appended, in their transaction. */
  standpoint({ leases, ...batch }: AppendedRevocations): Standpoint {
    return { batch, live: this.#barrier.deadlines(leases) };
  }

  /** Everything that was committed before the call: for a command that finds its work done by an earlier one. */
  async standpointNow(db: Queryable): Promise<Standpoint> {
    const sequence = await revocationHead(db);
    return { batch: { sequence, revocations: [] }, live: this.#barrier.deadlines(await readLiveMembers(db)) };
  }

  announce({ batch }: Standpoint): void {
    this.#parts.announce(batch);
  }

  /** Resolves when no gateway accepts what was revoked up to there. Takes a lease and its margin at most. */
  async reached({ batch, live }: Standpoint): Promise<void> {
    const { log } = this.#parts;
    const { barrierMs, acked, fenced } = await this.#barrier.wait(batch.sequence, live);
    barrierTimes.observe({}, barrierMs / 1000);
    if (fenced.length === 0) return;
    fencedGateways.inc({}, fenced.length);
    const { sequence } = batch;
    log.warn({ sequence, barrierMs, acked: acked.length, members: fenced }, 'revocation.in_force_after_fencing');
  }
}
