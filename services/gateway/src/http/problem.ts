import { AppError, errorDefinition } from '@prime-nest/contracts/errors';
import type { ErrorCode, Violation } from '@prime-nest/contracts/errors';

/** A problem document (RFC 9457). `type` is stable and names the code; nothing in it comes from the request. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail?: string;
  readonly violations?: readonly Violation[];
  readonly heldBy?: Readonly<Record<string, number>>;
  readonly correlationId?: string;
  readonly traceId?: string;
}

export const problemMediaType = 'application/problem+json';

export function problemType(code: ErrorCode): string {
  return `urn:prime-nest:problem:${code}`;
}

export interface ProblemIds {
  readonly correlationId: string;
  readonly traceId: string;
}

/** The public side of an error: its title from the table, the details that were declared safe, and the ids. */
export function problemOf({ code, details }: AppError, ids?: ProblemIds): Problem {
  const { status, title } = errorDefinition(code);
  return {
    type: problemType(code),
    title,
    status,
    code,
    ...(details.detail === undefined ? {} : { detail: details.detail }),
    ...(details.violations === undefined ? {} : { violations: details.violations }),
    ...(details.heldBy === undefined ? {} : { heldBy: details.heldBy }),
    ...ids,
  };
}

const retryAfterUnavailableSeconds = 1;

/** Headers that belong to a problem: how to authenticate (RFC 6750 §3), when to come back (RFC 9110 §10.2.3). */
export function problemHeaders({ code, details }: AppError): Record<string, string> {
  const headers: Record<string, string> = {};
  if (code === 'token_missing') headers['www-authenticate'] = 'Bearer realm="prime-nest"';
  else if (code === 'token_invalid' || code === 'token_expired' || code === 'session_revoked') {
    headers['www-authenticate'] = 'Bearer realm="prime-nest", error="invalid_token"';
  }
  const wait =
    details.retryAfterSeconds ?? (errorDefinition(code).status === 503 ? retryAfterUnavailableSeconds : undefined);
  if (wait !== undefined) headers['retry-after'] = String(Math.max(1, Math.ceil(wait)));
  return headers;
}

/** Codes of Fastify's own errors about a request that is wrong; any other error of it is a fault of ours. */
const fastifyCodes: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed_json',
  FST_ERR_CTP_INVALID_JSON_BODY: 'malformed_json',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'bad_request',
  FST_ERR_BAD_URL: 'bad_request',
  FST_ERR_MAX_PARAM_LENGTH: 'route_not_found',
  FST_ERR_ASYNC_CONSTRAINT: 'bad_request',
};

/** Any thrown value as an `AppError`: what is not known to be the caller's mistake is ours. */
export function asAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  const code = codeOf(error);
  if (code !== undefined) return new AppError(code, { cause: error });
  return new AppError('internal', { cause: error });
}

function codeOf(error: unknown): ErrorCode | undefined {
  if (!(error instanceof Error)) return undefined;
  const inner: unknown = error.cause instanceof Error && 'code' in error.cause ? error.cause : error;
  const name: unknown = inner instanceof Error && 'code' in inner ? inner.code : undefined;
  if (typeof name === 'string' && Object.hasOwn(fastifyCodes, name)) return fastifyCodes[name];
  const status: unknown = 'status' in error ? error.status : undefined;
  if (status === 404) return 'route_not_found';
  return typeof status === 'number' && status >= 400 && status < 500 ? 'bad_request' : undefined;
}
