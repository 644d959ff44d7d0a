import { identityNotify } from '@prime-nest/contracts/identity';
import type { Clock } from '@prime-nest/kit/clock';
import { busHealth } from '@prime-nest/kit/bus/connection';
import { subscribeNotify } from '@prime-nest/kit/bus/notify';
import type { NotifySubscription } from '@prime-nest/kit/bus/notify';
import { serviceContext } from '@prime-nest/kit/context';
import type { Logger } from '@prime-nest/kit/log';
import { backoffMs } from '@prime-nest/kit/retry';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Calls } from '../calls.js';
import type { KeySet } from './key-set.js';

const unknownKeyPauseMs = 30_000;
const refreshEveryMs = 30_000;

export interface KeyFeedOptions {
  readonly connection: NatsConnection;
  readonly calls: Calls;
  readonly keys: KeySet;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Keeps the key set current: asked for at the start (again and again until it answers), pushed by identity on each
 * change, asked for again after a reconnect and every 30 s in case a push was missed. An unknown `kid` asks once per
 * 30 s at most, however many tokens name one, so that strangers cannot make us call.
 */
export class KeyFeed {
  readonly #options: KeyFeedOptions;
  #subscription: NotifySubscription | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pending: Promise<void> | undefined;
  #askedForUnknownAtMs = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #isStopped = false;

  constructor(options: KeyFeedOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { connection, log } = this.#options;
    const subject = 'notify.identity.keys.v1';
    this.#subscription = await subscribeNotify({
      connection,
      subject,
      schema: identityNotify[subject],
      onNotify: ({ keys }) => {
        this.#take(keys);
      },
      log,
    });
    busHealth(connection).onBack(() => void this.#refreshQuietly());
    void this.#keepCurrent();
  }

  /** A readiness check. */
  async check(): Promise<void> {
    if (!this.#options.keys.isLoaded) throw new Error('no verification key has been loaded yet');
    await this.#subscription?.check();
  }

  /** Asks identity because a token named a key that nobody here knows. Resolves without asking inside the pause. */
  async onUnknownKey(): Promise<void> {
    const nowMs = this.#options.clock().getTime();
    if (this.#pending !== undefined) return this.#pending.catch(() => undefined);
    if (nowMs - this.#askedForUnknownAtMs < unknownKeyPauseMs) return;
    this.#askedForUnknownAtMs = nowMs;
    await this.#refreshQuietly();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#subscription?.stop();
  }

  async #keepCurrent(): Promise<void> {
    await this.#refreshQuietly();
    if (this.#isStopped) return;
    const delayMs = this.#failures === 0 ? refreshEveryMs : backoffMs(this.#failures);
    this.#timer = setTimeout(() => void this.#keepCurrent(), delayMs);
  }

  async #refreshQuietly(): Promise<void> {
    this.#pending ??= this.#refresh().finally(() => {
      this.#pending = undefined;
    });
    try {
      await this.#pending;
      this.#failures = 0;
    } catch (error) {
      // The keys we have stay good: tokens go on being verified while identity is away.
      this.#failures += 1;
      this.#options.log.warn({ err: error, failures: this.#failures }, 'keys.refresh_failed');
    }
  }

  async #refresh(): Promise<void> {
    const { keys } = await this.#options.calls.call('identity.key.list.v1', {}, serviceContext('gateway'));
    this.#take(keys);
  }

  #take(keys: Parameters<KeySet['replace']>[0]): void {
    const { keys: set, log } = this.#options;
    const before = set.generation;
    const refused = set.replace(keys);
    if (refused > 0) log.error({ refused }, 'keys.refused');
    if (set.generation !== before) log.info({ keys: set.published().length }, 'keys.changed');
  }
}
