import { gatewayNotify, identityNotify, revocationLeaseMs } from '@prime-nest/contracts/identity';
import type { Clock } from '@prime-nest/kit/clock';
import { type NotifySubscription, publishNotify, subscribeNotify } from '@prime-nest/kit/bus/notify';
import { serviceContext } from '@prime-nest/kit/context';
import { newId } from '@prime-nest/kit/ids';
import { type Clocks, type Lease, momentOf } from '@prime-nest/kit/lease';
import type { Logger } from '@prime-nest/kit/log';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Calls } from '../calls.js';
import type { RevocationSet } from './revocation-set.js';

/** Often enough that a lease outlasts two renewals that fail. */
const renewEveryMs = 500;
const applied = 'notify.gateway.applied.v1';

export interface RevocationFeedOptions {
  readonly connection: NatsConnection;
  readonly calls: Calls;
  readonly revocations: RevocationSet;
  readonly lease: Lease;
  readonly clock: Clock;
  readonly clocks: Clocks;
  readonly log: Logger;
}

/**
 * Keeps the revocation set complete and says so to identity, in exchange for a lease: while it is held, identity
 * answers no revocation that this process does not know. Listening before the first list is asked for, so that nothing
 * falls between the two. When renewals fail the lease runs out, and routes that need a token answer 503.
 */
export class RevocationFeed {
  readonly #options: RevocationFeedOptions;
  /** New for every process: what an earlier life has acknowledged must not count for this one. */
  #memberId = newId();
  #subscription: NotifySubscription | undefined;
  #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<void> = Promise.resolve();
  #asking: Promise<void> | undefined;
  #isStopped = false;
  #wasHeld = false;

  constructor(options: RevocationFeedOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { connection, revocations, clock, log } = this.#options;
    const subject = 'notify.identity.revocations.v1';
    this.#subscription = await subscribeNotify({
      connection,
      subject,
      schema: identityNotify[subject],
      onNotify: (message) => {
        if (revocations.apply(message, clock().getTime())) this.#tellApplied();
        // Whether it works or not, the next renewal finds out what is missing.
        else this.#ask().catch(() => undefined);
      },
      log,
    });
    void this.#run();
  }

  /** A readiness check. */
  async check(): Promise<void> {
    const { lease, clocks } = this.#options;
    if (!lease.isHeld(momentOf(clocks))) throw new Error('revocations are not known to be complete');
    await this.#subscription?.check();
  }

  /** Ends the lease. Call it when no request is served any more. */
  async stop(): Promise<void> {
    const { calls, lease } = this.#options;
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#renewing;
    lease.drop();
    // If this fails the lease runs out by itself, and a revocation meanwhile waits for that.
    const request = { memberId: this.#memberId };
    await calls.call('identity.revocation.end_lease.v1', request, serviceContext('gateway')).catch(() => undefined);
    await this.#subscription?.stop();
  }

  async #run(): Promise<void> {
    this.#renewing = this.#renewQuietly();
    await this.#renewing;
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => void this.#run(), renewEveryMs);
  }

  async #renewQuietly(): Promise<void> {
    const { lease, clocks, log } = this.#options;
    // The client has logged a failure, and the next renewal comes soon.
    await this.#renew().catch(() => undefined);
    const isHeld = lease.isHeld(momentOf(clocks));
    if (isHeld === this.#wasHeld) return;
    this.#wasHeld = isHeld;
    if (isHeld) log.info('revocations.complete');
    else log.error('revocations.stale');
  }

  async #renew(): Promise<void> {
    const { calls, revocations, lease, clocks } = this.#options;
    const known = revocations.sequence;
    const request = { memberId: this.#memberId, appliedSequence: known, leaseMs: revocationLeaseMs };
    // Before it is sent: identity's database counts from later.
    const sent = momentOf(clocks);
    const { sequence } = await calls.call('identity.revocation.renew_lease.v1', request, serviceContext('gateway'));
    if (sequence < known) return this.#startOver();
    // Not before everything up to there is refused here: a revocation may have been answered before this lease began.
    // The first answer may have been under way before that revocation.
    for (let i = 0; i < 2 && revocations.sequence < sequence; i++) await this.#ask();
    if (revocations.sequence < sequence) return;
    lease.renew(sent);
    if (known < sequence) this.#tellApplied();
  }

  /** Identity's database has been restored from a copy: its numbers mean something else now. */
  #startOver(): void {
    const { revocations, lease, log } = this.#options;
    log.error('revocations.fell_back');
    lease.drop();
    this.#memberId = newId();
    revocations.restart();
  }

  #tellApplied(): void {
    const { connection, revocations, log } = this.#options;
    const message = { memberId: this.#memberId, sequence: revocations.sequence };
    try {
      publishNotify(connection, applied, gatewayNotify[applied], message);
    } catch (error) {
      log.debug({ err: error }, 'revocations.untold');
    }
  }

  /** Asks for what is missing. Whoever asks while an answer is under way may have to ask again. */
  #ask(): Promise<void> {
    this.#asking ??= this.#list().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #list(): Promise<void> {
    const { calls, revocations, clock } = this.#options;
    for (;;) {
      const after = revocations.sequence;
      const page = await calls.call('identity.revocation.list.v1', { after }, serviceContext('gateway'));
      revocations.load({ ...page, after }, clock().getTime());
      if (page.sequence >= page.head) break;
    }
    this.#tellApplied();
  }
}
