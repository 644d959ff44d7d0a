import { eventTable } from '@prime-nest/contracts/events';
import type { AuditEvent, EventType } from '@prime-nest/contracts/events';

export interface OwnEvent {
  readonly type: EventType & `audit.${string}`;
  readonly id: string;
  readonly at: Date;
  readonly after: object;
}

/** An event that the log writes of itself: it has no number of any source, and a trace that is derived from its id. */
export function ownEvent({ type, id, at, after }: OwnEvent): AuditEvent {
  const { action, resource } = eventTable[type];
  return {
    schema: 'event.v1',
    id,
    source: 'audit',
    type,
    occurredAt: at.toISOString(),
    actor: { type: 'service', id: 'audit' },
    action,
    resource: { type: resource },
    outcome: 'success',
    change: { after: JSON.parse(JSON.stringify(after)) as NonNullable<AuditEvent['change']>['after'] },
    correlationId: id,
    traceId: id.replaceAll('-', ''),
    spanId: id.replaceAll('-', '').slice(-16),
  };
}
