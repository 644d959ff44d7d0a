import type { CallContext } from '@prime-nest/contracts/context';
import type { EventDraft, EventType } from '@prime-nest/contracts/events';

export type GatewayEventType = Extract<EventType, `gateway.${string}`>;

/** What the gateway says of one thing that happened; `reasonCode` and `resourceId` are constants or routes, never input. */
export interface GatewayEventDraft extends EventDraft {
  readonly type: GatewayEventType;
}

/**
 * Records an event of the gateway. Returns at once, never throws and never changes the answer of a request: the event
 * is written to the local spool in the background and reaches the audit log from there. Equal ones (type, outcome,
 * reason, resource, and account or network of the caller) that come in numbers share a line with their exact count;
 * that line has the context and the `change` of the first of them.
 */
export type RecordEvent = (draft: GatewayEventDraft, context: CallContext) => void;
