import type { Database } from '@prime-nest/kit/database';
import type { Logger } from '@prime-nest/kit/log';
import { type Clocks, type Lease, momentOf } from '@prime-nest/kit/lease';
import { removeDeadMembers, removeMember, renewLease } from './member.store.js';
import type { Replica } from './replica.store.js';

export interface HeartbeatOptions {
  readonly database: Database;
  readonly replica: Replica;
  readonly lease: Lease;
  readonly clocks: Clocks;
  readonly log: Logger;
  /** New for every process: an acknowledgement of an earlier life must not count for this one. */
  readonly memberId: string;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
}

const beatsBetweenCleanings = 150;

/**
 * Keeps this process's lease renewed, so that it may decide without asking. A beat that fails only means that the
 * lease runs out; decisions are then proven one batch at a time until a beat succeeds again.
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> = Promise.resolve();
  #isStopped = false;
  #failures = 0;
  #beats = 0;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  /** Resolves after the first beat, successful or not. */
  async start(): Promise<void> {
    await this.#run();
  }

  /** Ends the lease. Call it when no question is answered any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#beating;
    this.#options.lease.drop();
    // If this fails the lease runs out by itself; a mutation meanwhile waits for that.
    await removeMember(this.#options.database, this.#options.memberId).catch(() => undefined);
  }

  /** One renewal. Throws when the database does not answer. */
  async beat(): Promise<void> {
    const { database, replica, lease, clocks, memberId, leaseMs } = this.#options;
    const sent = momentOf(clocks);
    const held = replica.snapshot.revision;
    const head = await database.transaction((tx) => renewLease(tx, { memberId, leaseMs, ackedRevision: held }));
    await replica.follow(head, held);
    replica.anchor(head.nowMs, sent);
    // Not before everything up to `head` has been applied: a mutation may have been answered before this lease began.
    lease.renew(sent);
    if (held < head.revision) await this.#acknowledge(head.revision);
  }

  /** Tells the table that the revision found by a beat has been applied, in case the message about it was lost. */
  async #acknowledge(revision: number): Promise<void> {
    await this.#options.database.query(
      `UPDATE rbac_member SET acked_revision = greatest(acked_revision, $2) WHERE id = $1`,
      [this.#options.memberId, revision],
    );
  }

  async #run(): Promise<void> {
    this.#beating = this.#beatAndReport();
    await this.#beating;
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => void this.#run(), this.#options.heartbeatMs);
  }

  async #beatAndReport(): Promise<void> {
    const { database, log } = this.#options;
    try {
      await this.beat();
      if (this.#failures > 0) log.info({ failures: this.#failures }, 'lease.renewed');
      this.#failures = 0;
      if (++this.#beats % beatsBetweenCleanings === 0) await removeDeadMembers(database);
    } catch (error) {
      if (this.#failures++ === 0) log.warn({ err: error }, 'lease.renewal_failed');
    }
  }
}
