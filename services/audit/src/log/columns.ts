import type { AuditEvent } from '@prime-nest/contracts/events';

/** What the index over an entry says: everything of it is in the entry's bytes, and can be rebuilt from them. */
export interface IndexColumns {
  readonly event_id: string;
  readonly occurred_at: string;
  readonly source: string;
  readonly type: string;
  readonly actor_type: string;
  readonly actor_id: string | null;
  readonly action: string;
  readonly resource_type: string;
  readonly resource_id: string | null;
  readonly outcome: string;
  readonly trace_id: string;
  readonly span_id: string;
  readonly correlation_id: string;
}

export function indexColumns(event: AuditEvent): IndexColumns {
  const { actor, resource } = event;
  return {
    event_id: event.id.toLowerCase(),
    occurred_at: event.occurredAt,
    source: event.source,
    type: event.type,
    actor_type: actor.type,
    actor_id: actor.type === 'anonymous' ? null : storable(actor.id),
    action: storable(event.action),
    resource_type: storable(resource.type),
    resource_id: resource.id === undefined ? null : storable(resource.id),
    outcome: event.outcome,
    trace_id: event.traceId,
    span_id: event.spanId,
    correlation_id: event.correlationId,
  };
}

/** Text columns cannot hold NUL. The entry keeps it; a column is an index only. */
export function storable(text: string): string {
  return text.replaceAll('\u0000', '\uFFFD');
}
