import { eventBatchSubject, eventSource, eventSubject } from '@prime-nest/contracts/events';
import { decodeEventBatch } from '@prime-nest/kit/outbox/event-batch';
import { fingerprint, readEvent, subjectSource } from './entry.js';
import type { Arrival, Reading } from './entry.js';
import type { Candidate } from './sequence.js';
import { leafHash } from '@prime-nest/kit/tlog/tree';

/** A message to sequence: what the plan needs, and the bytes that become evidence. */
export interface Message extends Candidate {
  readonly subject: string;
  readonly headers: { readonly epoch: string; readonly sequence: string };
  readonly bytes: Buffer;
  readonly traceparent: string | undefined;
  readonly correlationId: string | undefined;
}

export interface StreamMessage extends Arrival {
  /** Position in the stream. */
  readonly order: number;
  readonly hasWaited: boolean;
  readonly traceparent: string | undefined;
  readonly correlationId: string | undefined;
  /** Where the span of publishing is. */
  readonly publisher: string | undefined;
}

const epochPattern = /^[0-9A-Za-z._-]{1,64}$/;
const sequencePattern = /^[1-9][0-9]{0,15}$/;

/**
 * The events of a message: each as it would have come in a message of its own, with the number that is its turn. The bus
 * vouches for the source on the subject, so an event of another one stays on that. A message that should hold several and
 * is not made that way is one message that is no event. No input makes it throw.
 */
export function eventsOf(arrival: StreamMessage): StreamMessage[] {
  const source = subjectSource(arrival.subject);
  const batched = arrival.subject === eventBatchSubject(source) ? decodeEventBatch(arrival.data) : undefined;
  if (batched === undefined) return [arrival];
  const isNumbered = sequencePattern.test(arrival.sequence);
  return batched.map(({ type, entry, ...rest }, i) => ({
    ...arrival,
    ...rest,
    publisher: rest.publisher,
    subject: eventSource(type) === source ? eventSubject(type) : arrival.subject,
    sequence: isNumbered ? String(Number(arrival.sequence) + i) : arrival.sequence,
    data: entry,
  }));
}

/**
 * What a message claims to be. The source is the one that the bus let publish on the subject; a header that names
 * another one costs the message its place in any sequence. No input makes it throw.
 */
export function readMessage(arrival: StreamMessage): Message {
  const source = subjectSource(arrival.subject);
  const sequence = Number(arrival.sequence);
  const hasPlace =
    epochPattern.test(arrival.epoch) && sequencePattern.test(arrival.sequence) && Number.isSafeInteger(sequence);
  const isOwn = arrival.source === source;
  const reading: Reading = isOwn ? readEvent(arrival) : { rejection: 'wrong_source' };
  return {
    order: arrival.order,
    hasWaited: arrival.hasWaited,
    source,
    place: isOwn && hasPlace ? { epoch: arrival.epoch, sequence } : undefined,
    reading,
    leafHash: leafHash(arrival.data),
    fingerprint: () => fingerprint(arrival),
    subject: arrival.subject,
    headers: { epoch: arrival.epoch, sequence: arrival.sequence },
    bytes: Buffer.from(arrival.data),
    traceparent: arrival.traceparent,
    correlationId: arrival.correlationId,
  };
}
