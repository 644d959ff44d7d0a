import type { ArgumentsHost, ExceptionFilter } from '@nestjs/common';
import { Catch } from '@nestjs/common';
import { AppError, errorDefinition } from '@prime-nest/contracts/errors';
import type { Logger } from '@prime-nest/kit/log';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { lingerAtClose } from '../http-server.js';
import type { RecordEvent } from '../spool/record-event.js';
import { refusalEvent } from '../spool/refusal.js';
import { asAppError, problemHeaders, problemMediaType, problemOf } from './problem.js';
import { isUnknown, routeUrl } from './matched-route.js';
import type { RequestState } from './request-state.js';

/** Answers every error of every layer, framework included, as a problem document. Nothing internal leaves here. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  readonly #log: Logger;
  readonly #allowed: (path: string) => readonly string[];
  readonly #recordEvent: RecordEvent;

  /** `allowed`: the methods that a path supports. */
  constructor(log: Logger, allowed: (path: string) => readonly string[], recordEvent: RecordEvent) {
    this.#log = log;
    this.#allowed = allowed;
    this.#recordEvent = recordEvent;
  }

  catch(thrown: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<FastifyRequest>();
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    this.answer(thrown, request, reply);
  }

  answer(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const error = this.#resolve(asAppError(thrown), request, reply);
    const state = request.state as RequestState | undefined;
    if (state !== undefined) state.code = error.code;
    if (errorDefinition(error.code).fault === 'bug') this.#log.error({ err: error }, 'http.failed');
    state?.span.fail(error);
    // Here and not at the end of the answer: whoever hangs up before it is recorded as well.
    const refusal = refusalEvent(error, request.method, routeUrl(request));
    if (refusal !== undefined && state !== undefined) this.#recordEvent(refusal, state.context);
    const ids =
      state === undefined
        ? undefined
        : { correlationId: state.context.correlationId, traceId: state.context.trace.traceId };
    const problem = problemOf(error, ids);
    const { socket } = reply.raw;
    if (!request.raw.complete && socket !== null) lingerAtClose(socket);
    void reply.code(problem.status).headers(problemHeaders(error)).type(problemMediaType).send(JSON.stringify(problem));
  }

  /** An address that exists under another method is told apart from one that does not. */
  #resolve(error: AppError, request: FastifyRequest, reply: FastifyReply): AppError {
    if (error.code !== 'route_not_found' || !isUnknown(request)) return error;
    const allowed = this.#allowed(request.url.split('?', 1)[0] ?? '');
    if (allowed.length === 0) return error;
    reply.header('allow', allowed.join(', '));
    return new AppError('method_not_allowed');
  }
}
