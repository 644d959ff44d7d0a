import { z } from 'zod';
import { Actor } from './context.js';
import { CorrelationId, Id } from './ids.js';

/**
 * The closed list of what can be recorded. Key: `<service>.<noun>.<past>.v<n>`, carried on subject `evt.<key>`.
 * Adding a line is safe; changing the meaning of one is a new `v`.
 */
export const eventTable = {
  'identity.account.created.v1': { action: 'account.create', resource: 'account' },
  'identity.account.updated.v1': { action: 'account.update', resource: 'account' },
  'identity.account.deactivated.v1': { action: 'account.deactivate', resource: 'account' },
  'identity.account.activated.v1': { action: 'account.activate', resource: 'account' },
  'identity.account.deleted.v1': { action: 'account.delete', resource: 'account' },
  'identity.account.unlocked.v1': { action: 'account.unlock', resource: 'account' },
  'identity.login.succeeded.v1': { action: 'login', resource: 'session' },
  'identity.login.failed.v1': { action: 'login', resource: 'account' },
  'identity.login.locked.v1': { action: 'login', resource: 'account' },
  'identity.session.refreshed.v1': { action: 'session.refresh', resource: 'session' },
  'identity.session.reuse_detected.v1': { action: 'session.refresh', resource: 'session' },
  'identity.session.revoked.v1': { action: 'session.revoke', resource: 'session' },
  'identity.password.changed.v1': { action: 'password.change', resource: 'account' },
  'identity.password.reset_issued.v1': { action: 'password.issue_reset', resource: 'account' },
  'identity.key.created.v1': { action: 'key.create', resource: 'key' },
  'identity.key.activated.v1': { action: 'key.activate', resource: 'key' },
  'identity.key.retired.v1': { action: 'key.retire', resource: 'key' },
  'identity.key.compromised.v1': { action: 'key.compromise', resource: 'key' },
  'identity.source.rewound.v1': { action: 'source.rewind', resource: 'source' },

  'rbac.feature.created.v1': { action: 'feature.create', resource: 'feature' },
  'rbac.feature.updated.v1': { action: 'feature.update', resource: 'feature' },
  'rbac.feature.deleted.v1': { action: 'feature.delete', resource: 'feature' },
  'rbac.permission.created.v1': { action: 'permission.create', resource: 'permission' },
  'rbac.permission.updated.v1': { action: 'permission.update', resource: 'permission' },
  'rbac.permission.deleted.v1': { action: 'permission.delete', resource: 'permission' },
  'rbac.role.created.v1': { action: 'role.create', resource: 'role' },
  'rbac.role.updated.v1': { action: 'role.update', resource: 'role' },
  'rbac.role.deleted.v1': { action: 'role.delete', resource: 'role' },
  'rbac.role.permissions_replaced.v1': { action: 'role.replace_permissions', resource: 'role' },
  'rbac.principal.roles_replaced.v1': { action: 'principal.replace_roles', resource: 'principal' },
  'rbac.principal.activated.v1': { action: 'principal.activate', resource: 'principal' },
  'rbac.principal.deactivated.v1': { action: 'principal.deactivate', resource: 'principal' },
  'rbac.seed.applied.v1': { action: 'seed.apply', resource: 'seed' },
  'rbac.source.rewound.v1': { action: 'source.rewind', resource: 'source' },

  'gateway.access.denied.v1': { action: 'access', resource: 'route' },
  'gateway.token.rejected.v1': { action: 'authenticate', resource: 'route' },
  'gateway.rate.limited.v1': { action: 'access', resource: 'route' },
  'gateway.upstream.called.v1': { action: 'upstream.call', resource: 'upstream' },
  'gateway.recording.started.v1': { action: 'recording.start', resource: 'recording' },
  'gateway.recording.stopped.v1': { action: 'recording.stop', resource: 'recording' },
  'gateway.recording.lost.v1': { action: 'recording.lose', resource: 'recording' },
  'gateway.source.rewound.v1': { action: 'source.rewind', resource: 'source' },

  'audit.log.searched.v1': { action: 'audit.search', resource: 'log' },
  'audit.log.exported.v1': { action: 'audit.export', resource: 'log' },
  'audit.event.read.v1': { action: 'audit.read', resource: 'event' },
  'audit.event.quarantined.v1': { action: 'event.quarantine', resource: 'event' },
  'audit.sources.recorded.v1': { action: 'sources.record', resource: 'log' },
  'audit.partition.retired.v1': { action: 'partition.retire', resource: 'log' },
  'audit.source.rewound.v1': { action: 'source.rewind', resource: 'source' },
} as const satisfies Record<string, { action: string; resource: string }>;

export type EventType = keyof typeof eventTable;
export const eventTypes = Object.keys(eventTable) as EventType[];

/** The JetStream stream that carries every event to audit, and the subject of one event type. */
export const eventStream = 'EVENTS';
export function eventSubject<T extends string>(type: T): `evt.${T}` {
  return `evt.${type}`;
}
export function eventSource(type: string): string {
  return type.slice(0, type.indexOf('.'));
}

/** The subject of several events of one source in one message. It has the form of no event type's. */
export function eventBatchSubject<S extends string>(source: S): `evt.${S}.batch.v1` {
  return `evt.${source}.batch.v1`;
}

/** `attempt` is written before an effect outside the transaction; its outcome follows with the same correlation id. */
export const Outcome = z.enum(['success', 'denied', 'failure', 'attempt']);
export type Outcome = z.infer<typeof Outcome>;

const Json = z.json();

/** Deepest nesting of an event, the event itself being the first level. */
export const eventDepthMax = 24;

/** Whether a value of JSON has more levels than that. Level by level instead of recursion: depth is what is in doubt. */
export function isDeeperThan(value: unknown, depthMax: number): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    const containers = level.filter((item): item is object => typeof item === 'object' && item !== null);
    if (containers.length > 0 && depth >= depthMax) return true;
    level = containers.flatMap((item): unknown[] => Object.values(item));
  }
  return false;
}

/**
 * What a type looks like. A reader takes one that its own version does not list yet: while an upgrade runs, and after it
 * was taken back, a newer service's events are recorded and shown like any other. Who may send which is up to the bus.
 */
const AnyEventType = z
  .string()
  .max(64)
  .regex(/^[a-z]{2,32}\.[a-z_]+\.[a-z_]+\.v[1-9]\d?$/);

/**
 * One recorded fact, as it is hashed and kept. Instants are RFC 3339 in UTC with milliseconds. `change` holds the
 * fields that differ; it never holds a password, a token, a hash of either, or a private key.
 */
export const AuditEvent = z.strictObject({
  schema: z.literal('event.v1'),
  id: Id,
  source: z.string().regex(/^[a-z]{2,32}$/),
  type: AnyEventType,
  occurredAt: z.iso.datetime({ precision: 3 }),
  actor: Actor,
  action: z.string().max(64),
  resource: z.object({ type: z.string().max(32), id: z.string().max(128).optional() }),
  outcome: Outcome,
  reasonCode: z.string().max(64).optional(),
  change: z.object({ before: Json.optional(), after: Json.optional() }).optional(),
  correlationId: CorrelationId,
  traceId: z.string().regex(/^[0-9a-f]{32}$/),
  spanId: z.string().regex(/^[0-9a-f]{16}$/),
  ip: z.string().max(45).optional(),
  userAgent: z.string().max(512).optional(),
});
export type AuditEvent = z.infer<typeof AuditEvent>;

/** The same for a value that was JSON a moment ago: nothing can be wrong with what is in `change`, and it is not looked at. */
export const ParsedAuditEvent = AuditEvent.extend({
  change: z.object({ before: z.unknown(), after: z.unknown() }).partial().optional(),
}) as unknown as typeof AuditEvent;

/** What a command says about its mutation; the outbox adds id, time, source and the call context. */
export interface EventDraft {
  readonly type: EventType;
  readonly resourceId?: string;
  readonly outcome?: Outcome;
  readonly reasonCode?: string;
  readonly change?: { readonly before?: unknown; readonly after?: unknown };
}

/** Most events of one message. */
export const eventBatchMax = 64;

/**
 * The head of a message with several events: a line of JSON, after which their bytes follow one after the other. The
 * header with the sequence number is the first one's, the others count on from it. What is wrong with one of them is wrong
 * with that one only, as in a message of its own.
 */
export const EventBatchHead = z
  .array(
    z.strictObject({
      type: z.string(),
      /** Bytes of the event. */
      size: z.int().min(0),
      correlationId: z.string(),
      traceparent: z.string(),
      /** Where the span of publishing is; only of a trace that is recorded. */
      publisher: z.string().optional(),
    }),
  )
  .min(1)
  .max(eventBatchMax);
export type EventBatchHead = z.infer<typeof EventBatchHead>;

/** Headers of an event on JetStream: its place in its source's gapless sequence, beside `traceparent`. */
export const eventHeaders = {
  source: 'Pn-Source',
  epoch: 'Pn-Epoch',
  sequence: 'Pn-Sequence',
  correlationId: 'X-Correlation-Id',
  traceparent: 'traceparent',
} as const;
