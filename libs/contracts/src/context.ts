import { z } from 'zod';
import { CorrelationId, Id } from './ids.js';
import { TraceContext } from './trace.js';

/** Who is recorded in audit. `anonymous` has no id: nobody has been authenticated. */
export const Actor = z.discriminatedUnion('type', [
  z.object({ type: z.literal('user'), id: Id, sessionId: Id.optional() }),
  z.object({ type: z.literal('service'), id: z.string().min(1).max(64) }),
  z.object({ type: z.literal('anonymous') }),
]);
export type Actor = z.infer<typeof Actor>;

/**
 * What travels with every call, in headers and beside the request: on whose behalf, from where, in which trace.
 * The gateway makes it once per HTTP request; every hop keeps all of it but the span id.
 */
export const CallContext = z.object({
  correlationId: CorrelationId,
  trace: TraceContext,
  actor: Actor,
  /** The peer's address as the gateway saw it, after trusted proxy hops. */
  ip: z.union([z.ipv4(), z.ipv6()]).optional(),
  userAgent: z.string().max(512).optional(),
});
export type CallContext = z.infer<typeof CallContext>;
