import { assertionBusHeader, assertionHeader, busMethod } from '@prime-nest/contracts/assertion';
import type { BusRequest } from '@prime-nest/contracts/assertion';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { ErrorCode } from '@prime-nest/contracts/errors';
import { formatTraceparent } from '@prime-nest/contracts/trace';
import { header as busHeader } from '@prime-nest/kit/bus/wire';
import type { Clock } from '@prime-nest/kit/clock';
import { newId } from '@prime-nest/kit/ids';
import type { Logger } from '@prime-nest/kit/log';
import { attribute } from '@prime-nest/kit/telemetry-names';
import { startSpan } from '@prime-nest/kit/telemetry';
import type { Principal } from '../access/principal.js';
import type { RecordEvent } from '../spool/record-event.js';
import { upstreamCalls } from '../telemetry.js';
import { passAnswer } from './answer.js';
import type { PassedAnswer, UpstreamAnswer } from './answer.js';
import type { BusUpstreams } from './call-bus.command.js';
import type { Connections, Line } from './connections.js';
import { nameOf } from './check-route-file.js';
import { encodeSegments } from './path-pattern.js';
import { signAssertion } from './sign-assertion.js';
import type { AssertionSigner } from './sign-assertion.js';
import type { RouteMatch } from './upstream-table.js';

/** A request that has been let through and whose every part has been checked. */
export interface AdmittedRequest {
  readonly match: RouteMatch;
  readonly method: string;
  readonly query: { readonly text: string; readonly values: Readonly<Record<string, string>> };
  /** Only those that the route passes on. */
  readonly headers: Readonly<Record<string, string>>;
  /** As received; empty without one. */
  readonly body: Buffer;
  /** The same body parsed, for JSON. */
  readonly json?: unknown;
  readonly principal: Principal | undefined;
}

export interface ForwardOptions {
  readonly connections: Connections;
  readonly bus: BusUpstreams;
  readonly signer: AssertionSigner;
  readonly recordEvent: RecordEvent;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Call {
  readonly method: string;
  readonly target: string;
  readonly body: Buffer;
  send(headers: { readonly assertion: string; readonly context: CallContext }): Promise<UpstreamAnswer>;
}

export type ForwardedAnswer = Extract<PassedAnswer, { readonly body: Buffer }>;

/**
 * Passes one request on to its service, once, and answers what the caller may see. Throws `overloaded` when too much
 * is under way to the service, `upstream_unavailable`, `upstream_timeout` or `upstream_failed`.
 */
export class ForwardCommand {
  readonly #options: ForwardOptions;

  constructor(options: ForwardOptions) {
    this.#options = options;
  }

  async run(request: AdmittedRequest, context: CallContext): Promise<ForwardedAnswer> {
    const { found } = request.match;
    const { upstream: name } = found.route.target;
    const line = this.#lineOf(request);
    const call = found.route.target.subject === undefined ? httpCall(request, line) : this.#busCall(request);
    const span = startSpan(`${call.method} ${name}`, { kind: 'client', parent: context.trace });
    const startedAtMs = performance.now();
    let outcome = 'ok';
    line.underWay += 1;
    try {
      if (line.underWay > line.concurrencyMax) throw new AppError('overloaded');
      const answer = await this.#throughCircuit(line, () => {
        const assertion = this.#assert(request, call);
        return call.send({ assertion, context: { ...context, trace: span.trace } });
      });
      span.setAttribute(attribute.httpResponseStatusCode, answer.status);
      const answered = passed(passAnswer(answer, found.route));
      this.#record(request, context, { status: answered.status });
      return answered;
    } catch (error) {
      const failure = error instanceof AppError ? error : new AppError('internal', { cause: error });
      outcome = failure.code;
      this.#record(request, context, { code: failure.code });
      span.fail(failure);
      const { internal } = failure;
      this.#options.log.warn({ upstream: name, route: found.url, code: failure.code, ...internal }, 'upstream.failed');
      throw failure;
    } finally {
      line.underWay -= 1;
      span.end();
      upstreamCalls.observe({ upstream: name, outcome }, (performance.now() - startedAtMs) / 1000);
    }
  }

  /** `code`: the call has no usable answer, and what it did is not known here. */
  #record({ match }: AdmittedRequest, context: CallContext, end: { status: number } | { code: ErrorCode }): void {
    const { route } = match.found;
    if (!route.audit) return;
    const isDone = 'status' in end && end.status < 400;
    this.#options.recordEvent(
      {
        type: 'gateway.upstream.called.v1',
        resourceId: `${route.target.upstream} ${nameOf(route)}`.slice(0, 128),
        outcome: isDone ? 'success' : 'failure',
        ...('code' in end ? { reasonCode: end.code } : {}),
        change: {
          after: {
            ...(typeof route.access === 'string' ? {} : { permission: route.access.permission }),
            ...('status' in end ? { status: end.status } : {}),
          },
        },
      },
      context,
    );
  }

  #lineOf({ match: { found } }: AdmittedRequest): Line {
    const { upstream, route } = found;
    const url = route.target.subject === undefined ? upstream.url : undefined;
    const origin = url === undefined ? undefined : new URL(url).origin;
    const line = this.#options.connections.line(route.target.upstream, origin, upstream.concurrencyMax);
    if (line === undefined) throw new AppError('internal', { internal: { reason: 'no line to the upstream' } });
    return line;
  }

  #assert({ match, principal }: AdmittedRequest, { method, target, body }: Call): string {
    const { access, target: to } = match.found.route;
    const permission = typeof access === 'string' ? undefined : access.permission;
    const { signer, clock } = this.#options;
    return signAssertion(
      signer,
      { audience: to.upstream, principal, permission, method, target, body },
      newId(),
      clock(),
    );
  }

  #busCall({ match, method, query, json }: AdmittedRequest): Call {
    const { route } = match.found;
    const { subject = '' } = route.target;
    const request: BusRequest = {
      method,
      params: { ...match.parameters },
      query: { ...query.values },
      ...(json === undefined ? {} : { body: json as NonNullable<BusRequest['body']> }),
    };
    const body = Buffer.from(JSON.stringify(request));
    return {
      method: busMethod,
      target: subject,
      body,
      send: ({ assertion, context }) =>
        this.#options.bus.run({
          subject,
          body,
          headers: {
            [assertionBusHeader]: assertion,
            [busHeader.correlationId]: context.correlationId,
            [busHeader.traceparent]: formatTraceparent(context.trace),
            [busHeader.deadline]: String(this.#options.clock().getTime() + route.timeoutMs),
          },
          timeoutMs: route.timeoutMs,
          answerBytesMax: route.response.bytesMax,
        }),
    };
  }

  async #throughCircuit(line: Line, send: () => Promise<UpstreamAnswer>): Promise<UpstreamAnswer> {
    const { circuit, name } = line;
    const startedAtMs = performance.now();
    if (!circuit.admits(startedAtMs)) {
      throw new AppError('upstream_unavailable', { internal: { reason: 'circuit open' } });
    }
    try {
      const answer = await send();
      if (circuit.onAnswer()) this.#options.log.info({ upstream: name }, 'circuit.closed');
      return answer;
    } catch (error) {
      // A bad answer is an answer; only silence says that further requests would wait in vain.
      const isAnswered = error instanceof AppError && error.code === 'upstream_failed';
      const changed = isAnswered ? circuit.onAnswer() : circuit.onSilence(startedAtMs, performance.now());
      if (changed) this.#options.log.warn({ upstream: name }, isAnswered ? 'circuit.closed' : 'circuit.opened');
      throw error;
    }
  }
}

function httpCall({ match, method, query, headers, body }: AdmittedRequest, { http }: Line): Call {
  const { upstream, route } = match.found;
  if (http === undefined) throw new AppError('internal', { internal: { reason: 'no connections to the upstream' } });
  const { pathname } = new URL(upstream.url ?? '');
  const path = `${pathname === '/' ? '' : pathname}${encodeSegments(match.segments)}`;
  const target = query.text === '' ? path : `${path}?${query.text}`;
  return {
    method,
    target,
    body,
    send: ({ assertion, context }) =>
      http.run({
        method,
        target,
        body,
        headers: {
          ...headers,
          [assertionHeader]: assertion,
          'x-correlation-id': context.correlationId,
          traceparent: formatTraceparent(context.trace),
        },
        timeoutMs: route.timeoutMs,
        answerBytesMax: route.response.bytesMax,
      }),
  };
}

function passed(answer: PassedAnswer): ForwardedAnswer {
  if ('isUnavailable' in answer) throw new AppError('upstream_unavailable', { internal: { reason: 'status 503' } });
  if ('fault' in answer) throw new AppError('upstream_failed', { internal: { reason: answer.fault } });
  return answer;
}
