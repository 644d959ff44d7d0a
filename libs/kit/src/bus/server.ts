import { Server } from '@nestjs/microservices';
import type { CustomTransportStrategy, MessageHandler } from '@nestjs/microservices';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError, errorDefinition } from '@prime-nest/contracts/errors';
import type { RpcContract, RpcContracts } from '@prime-nest/contracts/rpc';
import { isObservable, lastValueFrom } from 'rxjs';
import { runInContext } from '../context.js';
import type { Logger } from '../log.js';
import { attribute, rpcAttributes } from '../telemetry-names.js';
import { startSpan } from '../telemetry.js';
import { busHealth } from './connection.js';
import { Listener } from './listener.js';
import { callsExpired, callsInFlight, serverCalls } from './metrics.js';
import {
  decodeBody,
  decodeContext,
  decodeDeadline,
  decodeTrace,
  encodeBody,
  encodeError,
  readHeaders,
  replyBytesMax,
  requestBytesMax,
  violationsOf,
} from './wire.js';
import type { ReceivedHeaders } from './wire.js';

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

/**
 * The answer to a parsed request when nothing has to be waited for, else `undefined`: then the handler is called.
 * What it throws is answered like an error of the handler.
 */
export type AnswerAtOnce = (request: unknown) => object | undefined;

export interface BusServerStats {
  readonly inFlight: number;
  /** Requests whose deadline had passed on arrival, or was further away than it may be; not served. */
  readonly expired: number;
}

/** What is known about a subject before a request comes. */
interface Route {
  readonly subject: string;
  readonly contract: RpcContract;
  readonly handler: MessageHandler;
  readonly atOnce: AnswerAtOnce | undefined;
}

/** How far the clocks of two machines may be apart before a deadline looks made up. */
const clockToleranceMs = 5_000;

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
    const headers = readHeaders(message.headers);
    const refusal = this.#stale(route, headers);
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
      const serving = this.#serve(route, message, headers);
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

  /**
   * A message is good for as long as its subject's calls may take, by the deadline it carries. One that was held back
   * or recorded and is played again later finds that over; none can be made to last longer than that.
   */
  #stale({ subject, contract }: Route, headers: ReceivedHeaders): AppError | undefined {
    const deadline = decodeDeadline(headers);
    if (deadline === undefined) return undefined;
    const lateMs = Date.now() - deadline;
    const isEndless = -lateMs > contract.timeoutMs + clockToleranceMs;
    if (lateMs <= 0 && !isEndless) return undefined;
    this.#expired++;
    callsExpired.inc({ rpc_method: subject });
    runInContext(decodeContext(headers), () => {
      this.#options.log.warn({ subject, lateMs }, 'rpc.expired');
    });
    const violations = [{ pointer: '', message: 'the deadline is further away than calls of this subject may take' }];
    return isEndless ? new AppError('validation_failed', { details: { violations } }) : new AppError('unavailable');
  }

  /** Answers before it returns when the answer is at hand; otherwise the promise ends when the request is answered. */
  #serve(
    { subject, contract, handler, atOnce }: Route,
    message: Msg,
    headers: ReceivedHeaders,
  ): Promise<void> | undefined {
    const startedAt = performance.now();
    const above = decodeTrace(headers);
    const received = decodeContext(headers, above);
    const span = startSpan(subject, {
      kind: 'server',
      // A caller without a trace begins one here, and then it is ours to decide whether it is recorded.
      parent: above ?? 'none',
      attributes: rpcAttributes(subject),
    });
    const context: CallContext = { ...received, trace: span.trace };
    const finish = (failure: AppError | undefined) => {
      span.setAttribute(attribute.rpcStatusCode, failure?.code ?? 'ok');
      span.end();
      const level = span.trace.isSampled ? 'info' : (contract.hot?.servedLevel ?? 'info');
      this.#report(subject, failure, performance.now() - startedAt, level);
    };
    const fail = (error: unknown) => {
      const failure = error instanceof AppError ? error : new AppError('internal', { cause: error });
      span.fail(failure);
      this.#respondError(subject, message, failure);
      finish(failure);
    };
    const serve = () => {
      try {
        const request = parsedRequest(contract, decodeBody(message.data, requestBytesMax));
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
    const wait = async (request: unknown) => {
      try {
        const returned: unknown = await handler(request, context);
        const answer: unknown = isObservable(returned) ? await lastValueFrom(returned) : returned;
        message.respond(encodedAnswer(contract, answer));
      } catch (error) {
        fail(error);
        return;
      }
      finish(undefined);
    };
    return runInContext(context, () => span.run(serve), decodeDeadline(headers));
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

/** Throws `validation_failed`. */
function parsedRequest(contract: RpcContract, value: unknown): unknown {
  if (contract.hot?.isRequest(value) === true) return value;
  const request = contract.request.safeParse(value);
  if (request.success) return request.data;
  throw new AppError('validation_failed', { details: { violations: violationsOf(request.error.issues) } });
}

/** Throws `internal` for an answer that breaks the contract or is too large. */
function encodedAnswer(contract: RpcContract, answer: unknown): Uint8Array {
  const body = Buffer.from(encodeBody(checkedAnswer(contract, answer)));
  if (body.length > replyBytesMax) {
    throw new AppError('internal', { internal: { reason: 'the answer is too large', bytes: body.length } });
  }
  return body;
}

function checkedAnswer(contract: RpcContract, answer: unknown): unknown {
  if (contract.hot?.isResponse(answer) === true) return answer;
  const response = contract.response.safeParse(answer);
  if (response.success) return response.data;
  const paths = response.error.issues.slice(0, 5).map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new AppError('internal', { internal: { reason: 'the answer breaks the contract', paths } });
}
