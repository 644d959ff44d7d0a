import { Server } from '@nestjs/microservices';
import type { CustomTransportStrategy } from '@nestjs/microservices';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError, errorDefinition } from '@prime-nest/contracts/errors';
import type { RpcContracts } from '@prime-nest/contracts/rpc';
import { isObservable, lastValueFrom } from 'rxjs';
import { runInContext } from '../context.js';
import type { Logger } from '../log.js';
import { attribute, rpcAttributes } from '../telemetry-names.js';
import { startSpan } from '../telemetry.js';
import { busHealth } from './connection.js';
import { encodedAnswer, parsedRequest, refusalByDeadline } from './exchange.js';
import { Listener } from './listener.js';
import { callsExpired, callsInFlight, serverCalls } from './metrics.js';
import { receivedHeaders } from './received.js';
import { decodeContext, decodeDeadline, decodeTrace, encodeError } from './wire.js';
import type { ReceivedHeaders } from './received.js';
import type { AnswerAtOnce, Route } from './rpc.js';

export { createRpc } from './rpc.js';

export interface BusServerOptions {
  readonly connection: NatsConnection;
  /** Also the queue group: replicas share the work. */
  readonly service: string;
  readonly contracts: RpcContracts;
  readonly log: Logger;
  /** Requests served at the same time; beyond it the answer is `overloaded`, at once. */
  readonly inFlightMax?: number;
  /** By subject: asked before the handler, which is not called when the answer is at hand. */
  readonly atOnce?: Readonly<Record<string, AnswerAtOnce>>;
}

export interface BusServerStats {
  readonly inFlight: number;
  /** Requests whose deadline had passed on arrival, or was further away than it may be; not served. */
  readonly expired: number;
}

/**
 * Serves `@Rpc` handlers on NATS (a Nest transport strategy). Every request is parsed strictly before a handler sees
 * it, runs in its own context and span, and is answered: with the response, or with the code of the `AppError` thrown
 * (`internal` for anything else). Nothing that arrives ends the process. A request past its deadline is answered
 * `unavailable`, one whose deadline is too far away `validation_failed`, and neither is served; one without a reply
 * subject is dropped.
 */
export class BusServer extends Server implements CustomTransportStrategy {
  readonly #options: BusServerOptions;
  readonly #listeners: Listener[] = [];
  #inFlight = 0;
  #expired = 0;
  #isAway = false;
  #whenIdle: (() => void) | undefined;

  constructor(options: BusServerOptions) {
    super();
    this.#options = options;
  }

  /** Called by Nest. Reports success only when NATS has confirmed, in order, every subscription it accepts. */
  listen(callback: (error?: unknown) => void): void {
    this.#subscribeAll().then(
      () => {
        callback();
      },
      (error: unknown) => {
        callback(error);
      },
    );
  }

  /** Subjects that have a handler. */
  served(): string[] {
    return this.#listeners.map(({ subject }) => subject);
  }

  /** Whether requests to every served subject reach this process now. */
  isServing(): boolean {
    return this.#listeners.length > 0 && busHealth(this.#options.connection).isConnected && this.deaf().length === 0;
  }

  /** Served subjects that do not reach this process: refused by NATS, or closed. */
  deaf(): string[] {
    return this.#listeners.filter((listener) => !listener.isListening()).map(({ subject }) => subject);
  }

  stats(): BusServerStats {
    return { inFlight: this.#inFlight, expired: this.#expired };
  }

  /** A readiness check: throws naming what is missing. */
  check(): Promise<void> {
    if (!busHealth(this.#options.connection).isConnected) return Promise.reject(new Error('not connected to NATS'));
    if (this.#isAway) return Promise.reject(new Error('away: requests go to the other replicas'));
    if (this.deaf().length > 0) return Promise.reject(new Error(`not subscribed to ${this.deaf().join(', ')}`));
    if (this.#listeners.length === 0) return Promise.reject(new Error('no subject is served'));
    return Promise.resolve();
  }

  /**
   * Takes no more requests until `rejoin`: for a replica that could answer none of them while others can. What has
   * arrived already is served. Without another replica callers are told at once that nobody listens.
   */
  async leave(): Promise<void> {
    this.#isAway = true;
    await Promise.all(this.#listeners.map((listener) => listener.stop()));
  }

  /** Takes requests again after `leave`. */
  async rejoin(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.start()));
    this.#isAway = false;
  }

  /**
   * Stops taking requests, then resolves when those already taken are answered: everything NATS has handed to this
   * process by the time it confirms the end of the subscriptions. The connection stays open for its owner to drain.
   */
  async close(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.stop()));
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    if (!this.#options.connection.isClosed() && busHealth(this.#options.connection).isConnected) {
      await this.#options.connection.flush().catch(() => undefined);
    }
  }

  on(): never {
    throw new TypeError('BusServer has no events; see BusHealth');
  }

  unwrap<T>(): T {
    return this.#options.connection as T;
  }

  async #subscribeAll(): Promise<void> {
    const { connection, service, contracts, log } = this.#options;
    for (const [subject, handler] of this.getHandlers()) {
      const contract = contracts[subject];
      if (contract === undefined) throw new TypeError(`no contract for subject ${subject}`);
      const route: Route = { subject, contract, handler, atOnce: this.#options.atOnce?.[subject] };
      const onMessage = (message: Msg) => {
        this.#receive(route, message);
      };
      this.#listeners.push(new Listener({ connection, subject, queue: service, onMessage, log }));
    }
    await Promise.all(this.#listeners.map((listener) => listener.start()));
    log.info({ subjects: this.served(), deaf: this.deaf() }, 'rpc.listening');
  }

  #receive(route: Route, message: Msg): void {
    const { subject } = route;
    const { log, inFlightMax = 2_000 } = this.#options;
    if (message.reply === undefined || message.reply === '') {
      log.warn({ subject }, 'rpc.no_reply_subject');
      return;
    }
    const headers = receivedHeaders(message);
    const deadline = decodeDeadline(headers);
    const refusal = deadline === undefined ? undefined : this.#stale(route, headers, deadline);
    if (refusal !== undefined) {
      this.#respondError(subject, message, refusal);
      return;
    }
    if (this.#inFlight >= inFlightMax) {
      const failure = new AppError('overloaded');
      this.#respondError(subject, message, failure);
      runInContext(decodeContext(headers), () => {
        this.#report(subject, failure, 0, 'info');
      });
      return;
    }
    try {
      const serving = this.#serve(route, message, { headers, deadline });
      if (serving !== undefined) void this.#watch(subject, serving);
    } catch (error) {
      this.#broken(subject, error);
    }
  }

  /** Counts a request as in flight for as long as its handler takes. */
  async #watch(subject: string, serving: Promise<void>): Promise<void> {
    this.#inFlight++;
    callsInFlight.inc();
    try {
      await serving;
    } catch (error) {
      this.#broken(subject, error);
    } finally {
      this.#inFlight--;
      callsInFlight.dec();
      if (this.#inFlight === 0) this.#whenIdle?.();
    }
  }

  /** Only reporting itself can get here; the request has been answered or cannot be. */
  #broken(subject: string, error: unknown): void {
    this.#options.log.error({ subject, err: error }, 'rpc.broken');
  }

  #stale({ subject, contract }: Route, headers: ReceivedHeaders, deadline: number): AppError | undefined {
    const now = Date.now();
    const refusal = refusalByDeadline(contract, deadline, now);
    if (refusal === undefined) return undefined;
    this.#expired++;
    callsExpired.inc({ rpc_method: subject });
    runInContext(decodeContext(headers), () => {
      this.#options.log.warn({ subject, lateMs: now - deadline }, 'rpc.expired');
    });
    return refusal;
  }

  /** Answers before it returns when the answer is at hand; otherwise the promise ends when the request is answered. */
  #serve(
    { subject, contract, handler, atOnce }: Route,
    message: Msg,
    { headers, deadline }: { readonly headers: ReceivedHeaders; readonly deadline: number | undefined },
  ): Promise<void> | undefined {
    const startedAt = performance.now();
    const above = decodeTrace(headers);
    const span = startSpan(subject, {
      kind: 'server',
      // A caller without a trace begins one here, and then it is ours to decide whether it is recorded.
      parent: above ?? 'none',
      attributes: rpcAttributes(subject),
    });
    let made: CallContext | undefined;
    // Of most requests nobody asks for it.
    const context = () => (made ??= { ...decodeContext(headers, above), trace: span.trace });
    const finish = (failure: AppError | undefined) => {
      span.setAttribute(attribute.rpcStatusCode, failure?.code ?? 'ok');
      span.end();
      const level = span.isSampled ? 'info' : (contract.hot?.servedLevel ?? 'info');
      this.#report(subject, failure, performance.now() - startedAt, level);
    };
    const fail = (error: unknown) => {
      const failure = error instanceof AppError ? error : new AppError('internal', { cause: error });
      span.fail(failure);
      this.#respondError(subject, message, failure);
      finish(failure);
    };
    const wait = async (request: unknown) => {
      try {
        const returned: unknown = await handler(request, context());
        const answer: unknown = isObservable(returned) ? await lastValueFrom(returned) : returned;
        message.respond(encodedAnswer(contract, answer));
      } catch (error) {
        fail(error);
        return;
      }
      finish(undefined);
    };
    const serve = () => {
      try {
        const request = parsedRequest(contract, message.data);
        const answer = atOnce?.(request);
        if (answer === undefined) return wait(request);
        message.respond(encodedAnswer(contract, answer));
      } catch (error) {
        fail(error);
        return undefined;
      }
      finish(undefined);
      return undefined;
    };
    return runInContext(context, () => span.run(serve), deadline);
  }

  #respondError(subject: string, message: Msg, failure: AppError): void {
    const { body, headers } = encodeError(failure);
    try {
      message.respond(body, { headers });
    } catch (error) {
      // The connection is closing: the caller learns it from its own deadline.
      this.#options.log.warn({ subject, err: error }, 'rpc.unanswered');
    }
  }

  #report(subject: string, failure: AppError | undefined, durationMs: number, servedLevel: 'info' | 'debug'): void {
    const { log } = this.#options;
    serverCalls.observe({ rpc_method: subject, rpc_status_code: failure?.code ?? 'ok' }, durationMs / 1000);
    const fields = { subject, outcome: failure?.code ?? 'ok', durationMs: Math.round(durationMs * 100) / 100 };
    if (failure === undefined) {
      log[servedLevel](fields, 'rpc.served');
      return;
    }
    const { fault } = errorDefinition(failure.code);
    const level = fault === 'bug' ? 'error' : fault === 'transient' ? 'warn' : 'info';
    log[level]({ ...fields, err: failure }, 'rpc.served');
  }
}
