import { createParamDecorator } from '@nestjs/common';
import type { ExecutionContext } from '@nestjs/common';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import { IdempotencyKey } from '@prime-nest/contracts/identity';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Principal } from '../access/principal.js';
import { versionOf } from './entity-tag.js';

const requestOf = (execution: ExecutionContext) => execution.switchToHttp().getRequest<FastifyRequest>();

/** The context of this request, to hand to every call made for it. */
export const Context = createParamDecorator(
  (_: unknown, execution: ExecutionContext): CallContext => requestOf(execution).state.context,
);

/** Who the request speaks for. Only on routes that need a token. */
export const Caller = createParamDecorator((_: unknown, execution: ExecutionContext): Principal => {
  const { principal } = requestOf(execution).state;
  if (principal === undefined) throw new AppError('internal', { internal: { reason: 'a public route has no caller' } });
  return principal;
});

/** What a route needs that changes something with a version. */
export interface Change {
  readonly context: CallContext;
  /** The version that `If-Match` names (RFC 9110 §13.1.1); empty without one or for `*`. Weak tags do not count. */
  readonly expected: { readonly version?: number };
  /** For headers only: the answer is what the handler returns. */
  readonly reply: FastifyReply;
}

export const Changing = createParamDecorator((_: unknown, execution: ExecutionContext): Change => {
  const request = requestOf(execution);
  const reply = execution.switchToHttp().getResponse<FastifyReply>();
  const header = request.headers['if-match'];
  if (header === undefined || header === '*') return { context: request.state.context, expected: {}, reply };
  const version = versionOf(header);
  if (version === undefined) {
    throw new AppError('bad_request', { details: { detail: 'If-Match must be one strong entity tag.' } });
  }
  return { context: request.state.context, expected: { version }, reply };
});

/** The client's own key for a retry of this very request (draft-ietf-httpapi-idempotency-key-header). */
export const RetryKey = createParamDecorator((_: unknown, execution: ExecutionContext): string | undefined => {
  const header = requestOf(execution).headers['idempotency-key'];
  if (header === undefined) return undefined;
  const key = IdempotencyKey.safeParse(header);
  if (!key.success) {
    throw new AppError('bad_request', {
      details: { detail: 'Idempotency-Key must be 8 to 128 visible ASCII characters.' },
    });
  }
  return key.data;
});
