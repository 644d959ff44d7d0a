import { auditConsumer } from '@prime-nest/contracts/bus';
import { eventHeaders } from '@prime-nest/contracts/events';
import { parseTraceparent } from '@prime-nest/contracts/trace';
import { publisherHeader } from '@prime-nest/kit/outbox/publish';
import { startSpan } from '@prime-nest/kit/telemetry';
import type { Span } from '@prime-nest/kit/telemetry';
import { messageAttributes, messageSpanName } from '@prime-nest/kit/telemetry-names';
import { eventsOf, readMessage } from './log/message.js';
import type { Message, StreamMessage } from './log/message.js';
import type { Taken } from './pull.consumer.js';

/** One event of a message that is to be settled. */
export interface Delivery extends Message {
  /** The same for every event that came in it. */
  readonly message: Taken;
  readonly span: Span;
}

/** The events of a message, one or several, each as if it had come alone. Does not throw. */
export function readDeliveries(message: Taken, hasWaited: boolean): Delivery[] {
  const { headers, subject, data, order } = message;
  const header = (name: string) => headers.get(name) ?? '';
  const events = eventsOf({
    subject,
    data,
    order,
    hasWaited,
    source: header(eventHeaders.source),
    epoch: header(eventHeaders.epoch),
    sequence: header(eventHeaders.sequence),
    traceparent: header(eventHeaders.traceparent),
    correlationId: header(eventHeaders.correlationId),
    publisher: header(publisherHeader),
  });
  return events.map((event) => {
    const read = readMessage(event);
    return { ...read, message, span: startConsumerSpan(event, read) };
  });
}

/** Below the place where the event was written, not below the relay: that one is linked. */
function startConsumerSpan({ subject, data, ...event }: StreamMessage, { reading }: Message): Span {
  const description = {
    operation: 'process' as const,
    subject,
    messageId: 'event' in reading ? reading.event.id : undefined,
    conversationId: event.correlationId,
    bodyBytes: data.length,
    consumer: auditConsumer,
  };
  const publisher = parseTraceparent(event.publisher);
  return startSpan(messageSpanName(description), {
    kind: 'consumer',
    parent: parseTraceparent(event.traceparent) ?? 'none',
    attributes: messageAttributes(description),
    links: publisher === undefined ? [] : [publisher],
  });
}
