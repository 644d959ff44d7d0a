import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Logger } from '../log.js';
import { backoffMs } from '../retry.js';
import { busHealth } from './connection.js';

export interface ListenerOptions {
  readonly connection: NatsConnection;
  readonly subject: string;
  readonly queue?: string;
  readonly onMessage: (message: Msg) => void;
  readonly log: Logger;
}

/**
 * One subscription that does not go deaf unnoticed: when NATS refuses or closes it, `isListening` says so and the
 * subject is tried again until it works or `stop` is called.
 */
export class Listener {
  readonly subject: string;
  readonly #options: ListenerOptions;
  #subscription: Subscription | undefined;
  #isConfirmed = false;
  #isStopping = false;
  #attempts = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.subject = options.subject;
  }

  /** Subscribes and waits until NATS has processed that. A refusal does not throw: it shows in `isListening`. */
  async start(): Promise<void> {
    const { connection, queue, onMessage } = this.#options;
    const health = busHealth(connection);
    const denialBefore = health.denialOf(this.subject);
    this.#isConfirmed = false;
    this.#isStopping = false;
    const subscription = connection.subscribe(this.subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, message) => {
        if (error === null) onMessage(message);
      },
    });
    this.#subscription = subscription;
    void subscription.closed.then(() => {
      if (this.#subscription === subscription) this.#tryAgain();
    });
    // NATS answers in order: when the round trip is over, a refusal has arrived too.
    await connection.flush().catch(() => undefined);
    await nextTurn();
    if (subscription.isClosed() || health.denialOf(this.subject) !== denialBefore) {
      // Servers do not always name the queue in the refusal, and then the client leaves the dead subscription open.
      if (!subscription.isClosed()) subscription.unsubscribe();
      this.#tryAgain();
      return;
    }
    health.forgive(this.subject);
    this.#isConfirmed = true;
    this.#attempts = 0;
  }

  isListening(): boolean {
    const subscription = this.#subscription;
    if (!this.#isConfirmed || subscription === undefined || subscription.isClosed() || subscription.isDraining())
      return false;
    return !busHealth(this.#options.connection).isDenied(this.subject);
  }

  /** No further message after this resolves, until `start`; those already received have been handed to `onMessage`. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#retry);
    const subscription = this.#subscription;
    if (subscription === undefined || subscription.isClosed()) return;
    // Without a server nothing is on its way, and a round trip would end with the next attempt to connect.
    if (busHealth(this.#options.connection).isConnected) await subscription.drain().catch(() => undefined);
    else subscription.unsubscribe();
  }

  #tryAgain(): void {
    if (this.#isStopping || this.#retry !== undefined || this.#options.connection.isClosed()) return;
    this.#attempts++;
    this.#options.log.error({ subject: this.subject, attempt: this.#attempts }, 'bus.deaf');
    this.#retry = setTimeout(
      () => {
        this.#retry = undefined;
        if (this.#isStopping || this.#options.connection.isClosed()) return;
        this.start().catch((error: unknown) => {
          this.#options.log.warn({ subject: this.subject, err: error }, 'bus.subscribe_failed');
          this.#tryAgain();
        });
      },
      backoffMs(this.#attempts + 2),
    );
    this.#retry.unref();
  }
}
