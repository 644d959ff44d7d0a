import type { NatsConnection, Subscription } from '@nats-io/transport-node';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { RpcParsed } from '@prime-nest/contracts/rpc';
import { serviceOf } from '@prime-nest/contracts/rpc';
import { rpc } from '@prime-nest/contracts/subjects';
import type { Rpc } from '@prime-nest/contracts/subjects';
import { connectBus } from '@prime-nest/kit/bus/connection';
import { readHeaders } from '@prime-nest/kit/bus/received';
import { decodeBody, decodeContext, encodeBody, encodeError } from '@prime-nest/kit/bus/wire';
import { silentLogger } from '@prime-nest/kit/log';
import type { BusUser } from '@prime-nest/contracts/bus';
import { openLink } from '@prime-nest/testkit/link';
import type { Link } from '@prime-nest/testkit/link';
import type { TestNats } from '@prime-nest/testkit/nats';

export type Answer<S extends keyof Rpc> = (request: RpcParsed<Rpc, S>, context: CallContext) => unknown;

/** One call as a peer received it. */
export interface Received {
  readonly subject: string;
  readonly request: unknown;
  readonly context: CallContext;
}

/**
 * The services behind the gateway as far as the wire can tell: real connections with the real credentials, answering
 * what a test decides. A subject without an answer stays silent, as one of a process that hangs.
 */
export class Peers {
  readonly #connections = new Map<string, NatsConnection>();
  readonly #links = new Map<string, Link>();
  readonly #answers = new Map<string, (request: unknown, context: CallContext) => unknown>();
  readonly #subscriptions = new Map<string, Subscription>();
  readonly received: Received[] = [];

  static async connect(nats: TestNats): Promise<Peers> {
    const peers = new Peers();
    for (const user of ['identity', 'rbac', 'audit'] satisfies BusUser[]) {
      const link = await openLink(nats.port);
      peers.#links.set(user, link);
      const servers = `nats://127.0.0.1:${link.port}`;
      const connection = await connectBus({ ...nats.credentials(user), servers, log: silentLogger() });
      peers.#connections.set(user, connection);
    }
    for (const subject of Object.keys(rpc) as (keyof Rpc)[]) peers.#serve(subject);
    await Promise.all([...peers.#connections.values()].map((connection) => connection.flush()));
    return peers;
  }

  /** A service's way to NATS. */
  link(service: 'identity' | 'rbac' | 'audit'): Link {
    const link = this.#links.get(service);
    if (link === undefined) throw new Error(`no link of ${service}`);
    return link;
  }

  connection(service: 'identity' | 'rbac' | 'audit'): NatsConnection {
    const connection = this.#connections.get(service);
    if (connection === undefined) throw new Error(`no connection of ${service}`);
    return connection;
  }

  answer<S extends keyof Rpc>(subject: S, answer: Answer<S>): void {
    this.#answers.set(subject, answer as (request: unknown, context: CallContext) => unknown);
  }

  /** Nobody listens to the service's subjects any more, as after its process has ended. */
  leave(service: string): void {
    for (const [subject, subscription] of this.#subscriptions) {
      if (serviceOf(subject) !== service) continue;
      subscription.unsubscribe();
      this.#subscriptions.delete(subject);
    }
  }

  comeBack(service: string): void {
    for (const subject of Object.keys(rpc) as (keyof Rpc)[]) if (serviceOf(subject) === service) this.#serve(subject);
  }

  silence(subject: keyof Rpc): void {
    this.#answers.delete(subject);
  }

  /** The calls of a subject so far, oldest first. */
  calls(subject: keyof Rpc): Received[] {
    return this.received.filter((call) => call.subject === subject);
  }

  forget(): void {
    this.received.length = 0;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#connections.values()].map((connection) => connection.close()));
    await Promise.all([...this.#links.values()].map((link) => link.close()));
  }

  #serve(subject: keyof Rpc): void {
    const service = serviceOf(subject);
    const subscription = this.#connections.get(service)?.subscribe(subject, {
      queue: service,
      callback: (_error, message) => {
        const context = decodeContext(readHeaders(message.headers));
        const request: unknown = rpc[subject].request.parse(decodeBody(message.data, 1_000_000));
        this.received.push({ subject, request, context });
        const answer = this.#answers.get(subject);
        if (answer === undefined) return;
        void (async () => {
          try {
            message.respond(encodeBody(await answer(request, context)));
          } catch (error) {
            const { body, headers } = encodeError(error instanceof AppError ? error : new AppError('internal'));
            message.respond(body, { headers });
          }
        })();
      },
    });
    if (subscription !== undefined) this.#subscriptions.set(subject, subscription);
  }
}
