import type { LogFields } from './log-fields.js';

/**
 * Every error this system answers, in one closed table. Public text exists here and nowhere else: a throw site
 * names a code and may add `details` that are safe to show; everything else it knows goes into `internal`, which
 * only the log of the process that threw it sees.
 */
export interface ErrorDefinition {
  /** HTTP status that the gateway answers (RFC 9110 §15). */
  readonly status: number;
  /** `caller`: the request was wrong; `transient`: try again; `bug`: we were wrong. Drives log level and retry. */
  readonly fault: 'caller' | 'transient' | 'bug';
  /** The `title` of the problem document (RFC 9457 §3.1.4): the same words for every occurrence. */
  readonly title: string;
}

export const errorTable = {
  // What every request can meet at the front door.
  validation_failed: { status: 400, fault: 'caller', title: 'The request does not have the documented shape.' },
  malformed_json: { status: 400, fault: 'caller', title: 'The request body is not well-formed JSON.' },
  bad_request: { status: 400, fault: 'caller', title: 'The request cannot be understood.' },
  token_missing: { status: 401, fault: 'caller', title: 'An access token is required.' },
  token_invalid: { status: 401, fault: 'caller', title: 'The access token is not valid.' },
  token_expired: { status: 401, fault: 'caller', title: 'The access token has expired.' },
  session_revoked: { status: 401, fault: 'caller', title: 'The session has ended.' },
  forbidden: { status: 403, fault: 'caller', title: 'You do not have the permission that this request needs.' },
  route_not_found: { status: 404, fault: 'caller', title: 'There is nothing at this address.' },
  method_not_allowed: { status: 405, fault: 'caller', title: 'This address does not support that method.' },
  body_too_large: { status: 413, fault: 'caller', title: 'The request body is too large.' },
  unsupported_media_type: { status: 415, fault: 'caller', title: 'The request body must be application/json.' },
  origin_forbidden: { status: 403, fault: 'caller', title: 'Requests from this origin are not accepted.' },
  rate_limited: { status: 429, fault: 'caller', title: 'Too many requests.' },

  // Identity.
  invalid_credentials: { status: 401, fault: 'caller', title: 'The e-mail address or the password is wrong.' },
  login_locked: { status: 429, fault: 'caller', title: 'Too many failed attempts. Try again later.' },
  invalid_grant: { status: 401, fault: 'caller', title: 'The refresh token is not valid.' },
  password_rejected: { status: 400, fault: 'caller', title: 'The password does not meet the password rules.' },
  reset_code_invalid: { status: 400, fault: 'caller', title: 'The reset code is not valid, or not any more.' },
  email_taken: { status: 409, fault: 'caller', title: 'An account with this e-mail address exists already.' },

  // Things with names, references and versions.
  not_found: { status: 404, fault: 'caller', title: 'The resource does not exist.' },
  name_taken: { status: 409, fault: 'caller', title: 'The name is in use already.' },
  reference_missing: { status: 409, fault: 'caller', title: 'The request refers to something that does not exist.' },
  in_use: { status: 409, fault: 'caller', title: 'The resource is still in use.' },
  version_conflict: { status: 412, fault: 'caller', title: 'The resource was changed by somebody else.' },

  // Rules of rbac that stand above permissions.
  escalation_refused: { status: 403, fault: 'caller', title: 'You cannot give what you do not hold yourself.' },
  last_administrator: { status: 409, fault: 'caller', title: 'The last active administrator cannot be removed.' },

  // Services behind the gateway that it does not know.
  upstream_failed: { status: 502, fault: 'transient', title: 'The service behind this address gave no usable answer.' },
  upstream_unavailable: { status: 503, fault: 'transient', title: 'The service behind this address is not available.' },
  upstream_timeout: {
    status: 504,
    fault: 'transient',
    title: 'The service behind this address did not answer in time.',
  },

  // When the fault is ours. Unavailable is never a deny and never an allow.
  unavailable: { status: 503, fault: 'transient', title: 'The service is not available at the moment.' },
  overloaded: { status: 503, fault: 'transient', title: 'The service is busy. Try again shortly.' },
  internal: { status: 500, fault: 'bug', title: 'Something went wrong on our side.' },
} as const satisfies Record<string, ErrorDefinition>;

export type ErrorCode = keyof typeof errorTable;

/** Codes that any RPC subject may answer with; a contract lists only what it answers beyond these. */
export const commonErrors = [
  'validation_failed',
  'unavailable',
  'overloaded',
  'internal',
] as const satisfies ErrorCode[];

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(errorTable, value);
}

export function errorDefinition(code: ErrorCode): ErrorDefinition {
  return errorTable[code];
}

/** Where a value broke its schema: a JSON Pointer (RFC 6901) into the request and a sentence about the rule. */
export interface Violation {
  readonly pointer: string;
  readonly message: string;
}

/** What a caller may be shown beside the title. No value that the caller sent is ever echoed here. */
export interface PublicDetails {
  readonly violations?: readonly Violation[];
  readonly retryAfterSeconds?: number;
  /** What still holds a resource that cannot be deleted: kind and how many. */
  readonly heldBy?: Readonly<Record<string, number>>;
  readonly detail?: string;
}

export interface AppErrorOptions {
  readonly details?: PublicDetails;
  /** Fields of the log list: ids, counts, constants, for the log of this process only. Never leaves it. */
  readonly internal?: LogFields;
  readonly cause?: unknown;
}

/**
 * The one error type that crosses layers. It carries a code of {@link errorTable}; whatever is thrown and is not an
 * `AppError` is a bug and is answered as `internal`.
 */
export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: ErrorCode;
  readonly details: PublicDetails;
  readonly internal: LogFields;

  constructor(code: ErrorCode, options: AppErrorOptions = {}) {
    super(code, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
    this.internal = options.internal ?? {};
  }
}
