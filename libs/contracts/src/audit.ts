import { z } from 'zod';
import { AuditEvent, Outcome } from './events.js';
import { CorrelationId, Id } from './ids.js';
import type { RpcContracts } from './rpc.js';

const Instant = z.iso.datetime();

/**
 * An event as the log shows it: what its source recorded, and its place. `index` is its position in the log
 * (0-based, gapless); `receivedAt` is the log's own clock.
 */
export const LogEntry = z.object({
  ...AuditEvent.omit({ schema: true }).shape,
  index: z.int().min(0),
  receivedAt: Instant,
});
export type LogEntry = z.infer<typeof LogEntry>;

/** Conditions are joined by AND. `occurredFrom` is inclusive, `occurredTo` exclusive. */
export const EventFilter = z.strictObject({
  actorId: z.string().max(64).optional(),
  action: z.string().max(64).optional(),
  type: z.string().max(64).optional(),
  resourceType: z.string().max(32).optional(),
  resourceId: z.string().max(128).optional(),
  outcome: Outcome.optional(),
  traceId: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .optional(),
  correlationId: CorrelationId.optional(),
  occurredFrom: Instant.optional(),
  occurredTo: Instant.optional(),
});
export type EventFilter = z.infer<typeof EventFilter>;

export const auditRpc = {
  /** Newest first. The page after `cursor` stays the same while the log grows. The search itself is recorded. */
  'audit.event.search.v1': {
    request: EventFilter.extend({
      limit: z.int().min(1).max(200).default(50),
      cursor: z.string().max(64).optional(),
    }),
    response: z.object({ data: z.array(LogEntry), nextCursor: z.string().nullable() }),
    errors: [],
    timeoutMs: 1400,
  },
  'audit.event.get.v1': {
    request: z.strictObject({ id: Id }),
    response: LogEntry,
    errors: ['not_found'],
    timeoutMs: 1000,
  },
} as const satisfies RpcContracts;
export type AuditRpc = typeof auditRpc;
