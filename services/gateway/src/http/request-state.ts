import type { CallContext } from '@prime-nest/contracts/context';
import type { ErrorCode } from '@prime-nest/contracts/errors';
import type { Span } from '@prime-nest/kit/telemetry';
import type { Principal, RouteAccess } from '../access/principal.js';

/** What the gateway knows about a request while it serves it. Made by the first hook, before anything can fail. */
export interface RequestState {
  /** Travels with every call made for this request; speaks for the principal once there is one. */
  context: CallContext;
  readonly span: Span;
  /** `performance.now()` at the arrival. */
  readonly startedAtMs: number;
  /** Where it stands among the requests being served. */
  readonly place: number;
  principal?: Principal;
  /** The access that has been proven for this request. */
  admittedFor?: RouteAccess;
  /** It has been counted and logged, once. */
  isEnded?: boolean;
  /** The code of the problem it was answered with. */
  code?: ErrorCode;
}

declare module 'fastify' {
  interface FastifyRequest {
    state: RequestState;
  }
}
