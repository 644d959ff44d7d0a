import { jetstream } from '@nats-io/jetstream';
import type { JetStreamClient } from '@nats-io/jetstream';
import { headers as natsHeaders } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { eventBatchSubject, eventHeaders, eventStream, eventSubject } from '@prime-nest/contracts/events';
import { formatTraceparent, parseTraceparent } from '@prime-nest/contracts/trace';
import type { TraceContext } from '@prime-nest/contracts/trace';
import { attribute, messageAttributes, messageSpanName } from '../telemetry-names.js';
import { startSpan } from '../telemetry.js';
import type { Span } from '../telemetry.js';
import type { Batch, Entry } from './batch.js';
import { cutIntoMessages, encodeEventBatch } from './event-batch.js';

/** What is published of an entry, wherever it was kept until now. */
export type Publishable = Omit<Entry, 'xid' | 'id'>;

const ackTimeoutMs = 3_000;

/** Where the span of publishing is, for a link from the consumer's; only on messages whose trace is recorded. */
export const publisherHeader = 'Pn-Publisher';

export interface PublishResult {
  /** How many entries from the start of the batch are stored, without a hole. */
  readonly stored: number;
  /** Why the first one after them is not. */
  readonly error?: unknown;
}

/**
 * Publishes a batch in order, all in flight at once, and waits for every acknowledgement. Neighbours share a message; one
 * that is alone has its own, on the subject of its type. Each message carries its first event's id with its epoch for
 * deduplication, the first number, and of each event the trace of the mutation (not the relay's own). "Duplicate" counts
 * as stored: an earlier attempt got through and its acknowledgement did not.
 */
export async function publishBatch(
  connection: NatsConnection,
  source: string,
  { cursor, entries }: { readonly cursor: Pick<Batch['cursor'], 'epoch'>; readonly entries: readonly Publishable[] },
): Promise<PublishResult> {
  const stream = jetstream(connection, { timeout: ackTimeoutMs });
  const batch = startBatchSpan(entries);
  const messages = cutIntoMessages(entries);
  const acks = await Promise.allSettled(
    messages.map((message) => publish(stream, { source, epoch: cursor.epoch, entries: message, batch: batch?.trace })),
  );
  const failedAt = acks.findIndex((ack) => ack.status === 'rejected');
  const failed = acks[failedAt];
  const error: unknown = failed?.status === 'rejected' ? failed.reason : undefined;
  if (failedAt !== -1) batch?.fail(error);
  batch?.end();
  if (failedAt === -1) return { stored: entries.length };
  return { stored: messages.slice(0, failedAt).flat().length, error };
}

interface Publication {
  readonly source: string;
  readonly epoch: string;
  readonly entries: readonly Publishable[];
  readonly batch: TraceContext | undefined;
}

async function publish(stream: JetStreamClient, { source, epoch, entries, batch }: Publication): Promise<void> {
  const [first] = entries;
  if (first === undefined) return;
  const spans = entries.map((entry) => startProducerSpan(entry, batch));
  const publishers = spans.map((span) => (span?.trace.isSampled === true ? formatTraceparent(span.trace) : undefined));
  const headers = natsHeaders();
  headers.set(eventHeaders.source, source);
  headers.set(eventHeaders.epoch, epoch);
  headers.set(eventHeaders.sequence, String(first.seq));
  const isAlone = entries.length === 1;
  if (isAlone) {
    headers.set(eventHeaders.correlationId, first.correlationId);
    headers.set(eventHeaders.traceparent, first.traceparent);
    if (publishers[0] !== undefined) headers.set(publisherHeader, publishers[0]);
  }
  const subject = isAlone ? eventSubject(first.type) : eventBatchSubject(source);
  const body = isAlone
    ? first.entry
    : encodeEventBatch(entries.map((entry, i) => ({ ...entry, publisher: publishers[i] })));
  const id = messageId(first.eventId, epoch);
  try {
    await stream.publish(subject, body, {
      // The same first event and as many: the same events.
      msgID: isAlone ? id : `${id}.${String(entries.length)}`,
      headers,
      timeout: ackTimeoutMs,
      expect: { streamName: eventStream },
    });
  } catch (error) {
    for (const span of spans) span?.fail(error);
    throw error;
  } finally {
    for (const span of spans) span?.end();
  }
}

/** An event has one id per epoch: in a new one it has another number, and must not be taken for the old message. */
export function messageId(eventId: string, epoch: string): string {
  return `${eventId}.${epoch.slice(0, 8)}`;
}

/** Below the place where the event was written, long after that call was answered. */
function startProducerSpan(entry: Publishable, batch: TraceContext | undefined): Span | undefined {
  const parent = parseTraceparent(entry.traceparent);
  if (parent?.isSampled !== true) return undefined;
  const subject = eventSubject(entry.type);
  const message = {
    operation: 'publish' as const,
    subject,
    messageId: entry.eventId,
    conversationId: entry.correlationId,
    bodyBytes: entry.entry.length,
  };
  return startSpan(messageSpanName(message), {
    kind: 'producer',
    parent,
    attributes: messageAttributes(message),
    links: batch === undefined ? [] : [batch],
  });
}

/** What several recorded traces share: one span of its own that points to each of them, and each to it. */
function startBatchSpan(entries: readonly Publishable[]): Span | undefined {
  if (entries.length < 2) return undefined;
  const links = entries.flatMap(({ traceparent }) => parseTraceparent(traceparent) ?? []);
  if (!links.some(({ isSampled }) => isSampled)) return undefined;
  const attributes = { [attribute.messagingBatchMessageCount]: entries.length };
  return startSpan('outbox.relay', { parent: 'none', links, attributes });
}
