import { errors } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Logger } from '../log.js';
import { busConnected } from './metrics.js';

/**
 * What a connection's status events say: connected or not, and which subscriptions the server refused. A refused
 * subscription is silent for its owner (the process looks healthy and hears nothing), so it is kept here until
 * whoever needs the subject has it again.
 */
export class BusHealth {
  readonly #connection: NatsConnection;
  readonly #log: Logger;
  readonly #denied = new Map<string, number>();
  #denials = 0;
  readonly #lost = new Set<() => void>();
  readonly #back = new Set<() => void>();
  #isConnected = true;

  constructor(connection: NatsConnection, log: Logger) {
    this.#connection = connection;
    this.#log = log;
    busConnected.set(1);
  }

  get isConnected(): boolean {
    return this.#isConnected && !this.#connection.isClosed();
  }

  /** Subjects of subscriptions that the server refused. */
  denied(): string[] {
    return [...this.#denied.keys()];
  }

  isDenied(subject: string): boolean {
    return this.#denied.has(subject);
  }

  /** The mark of the latest refusal of `subject`, 0 if there is none: two equal marks mean no refusal in between. */
  denialOf(subject: string): number {
    return this.#denied.get(subject) ?? 0;
  }

  /** Forgets a refusal, once the subject has been subscribed without another one. */
  forgive(subject: string): void {
    this.#denied.delete(subject);
  }

  /** Calls `fn` each time the connection is lost. Answers the function that stops it. */
  onLost(fn: () => void): () => void {
    this.#lost.add(fn);
    return () => this.#lost.delete(fn);
  }

  /** Calls `fn` each time the connection is back. Answers the function that stops it. */
  onBack(fn: () => void): () => void {
    this.#back.add(fn);
    return () => this.#back.delete(fn);
  }

  /** A readiness check: throws, naming the reason, while disconnected or while a subscription is refused. */
  check(): Promise<void> {
    if (!this.isConnected) return Promise.reject(new Error('not connected to NATS'));
    if (this.#denied.size > 0)
      return Promise.reject(new Error(`NATS refuses the subscription to ${this.denied().join(', ')}`));
    return Promise.resolve();
  }

  /** Follows the connection until it closes. */
  async watch(): Promise<void> {
    for await (const status of this.#connection.status()) {
      if (status.type === 'error') this.#onError(status.error);
      else if (status.type === 'disconnect') this.#onLost(status.server);
      else if (status.type === 'reconnect') this.#onBack(status.server);
      else if (status.type === 'slowConsumer')
        this.#log.warn({ subject: status.sub.getSubject() }, 'bus.slow_consumer');
    }
    this.#isConnected = false;
    busConnected.set(0);
    for (const fn of this.#lost) fn();
  }

  #onError(error: Error): void {
    if (error instanceof errors.PermissionViolationError) {
      this.#log.error({ operation: error.operation, subject: error.subject }, 'bus.denied');
      if (error.operation === 'subscription') this.#denied.set(error.subject, ++this.#denials);
      return;
    }
    this.#log.warn({ err: error }, 'bus.error');
  }

  #onLost(server: string): void {
    this.#isConnected = false;
    busConnected.set(0);
    this.#log.warn({ server }, 'bus.disconnected');
    for (const fn of this.#lost) fn();
  }

  #onBack(server: string): void {
    this.#isConnected = true;
    busConnected.set(1);
    // Subscriptions are sent again on reconnect, and refused again if they still are.
    this.#denied.clear();
    this.#log.info({ server }, 'bus.reconnected');
    for (const fn of this.#back) fn();
  }
}
