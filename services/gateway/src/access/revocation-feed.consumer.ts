import { identityNotify } from '@prime-nest/contracts/identity';
import type { Clock } from '@prime-nest/kit/clock';
import { subscribeNotify } from '@prime-nest/kit/bus/notify';
import type { NotifySubscription } from '@prime-nest/kit/bus/notify';
import { serviceContext } from '@prime-nest/kit/context';
import type { Logger } from '@prime-nest/kit/log';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Calls } from '../calls.js';
import type { RevocationSet } from './revocation-set.js';

/** Heartbeats come every second; after this long without one we ask instead of waiting. */
const quietMsMax = 2_500;
const watchEveryMs = 500;

export interface RevocationFeedOptions {
  readonly connection: NatsConnection;
  readonly calls: Calls;
  readonly revocations: RevocationSet;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Keeps the revocation set complete: subscribed before the first list is asked for, so that nothing falls between
 * the two; asked again after a gap and whenever the feed has been quiet. While neither works the set turns stale by
 * itself, and routes that need a token answer 503.
 */
export class RevocationFeed {
  readonly #options: RevocationFeedOptions;
  #subscription: NotifySubscription | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pending: Promise<void> | undefined;
  #hasGap = false;
  #wasFresh = false;

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
        if (revocations.apply(message, clock().getTime())) return;
        this.#hasGap = true;
        this.#askQuietly();
      },
      log,
    });
    this.#askQuietly();
    this.#timer = setInterval(() => {
      this.#watch();
    }, watchEveryMs);
  }

  /** A readiness check. */
  async check(): Promise<void> {
    const { revocations, clock } = this.#options;
    if (!revocations.isFresh(clock().getTime())) throw new Error('revocations are not known to be complete');
    await this.#subscription?.check();
  }

  /**
   * Resolves when everything that was revoked before the call is refused here. For a request that has just revoked
   * something: its answer must not be overtaken by its own effect.
   */
  async catchUp(): Promise<void> {
    // One that is under way may have been answered before the revocation that we wait for.
    await this.#pending?.catch(() => undefined);
    await this.#ask();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#subscription?.stop();
  }

  #watch(): void {
    const { revocations, clock, log } = this.#options;
    const nowMs = clock().getTime();
    const isFresh = revocations.isFresh(nowMs);
    if (isFresh !== this.#wasFresh) {
      this.#wasFresh = isFresh;
      if (isFresh) log.info('revocations.complete');
      else log.error({ ageMs: revocations.ageMs(nowMs) }, 'revocations.stale');
    }
    if (this.#hasGap || revocations.ageMs(nowMs) > quietMsMax) this.#askQuietly();
  }

  #askQuietly(): void {
    // The client has logged the failure, and the watch tries again.
    this.#ask().catch(() => undefined);
  }

  #ask(): Promise<void> {
    this.#pending ??= this.#list().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #list(): Promise<void> {
    const { calls, revocations, clock } = this.#options;
    const askedAtMs = clock().getTime();
    const list = await calls.call('identity.revocation.list.v1', {}, serviceContext('gateway'));
    revocations.load(list, askedAtMs);
    this.#hasGap = false;
  }
}
