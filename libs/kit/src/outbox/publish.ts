import { jetstream } from '@nats-io/jetstream';
import { headers as natsHeaders } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { eventHeaders, eventStream } from '@prime-nest/contracts/events';
import type { Batch } from './batch.js';

const ackTimeoutMs = 3_000;

export interface PublishResult {
  /** How many entries from the start of the batch are stored, without a hole. */
  readonly stored: number;
  /** Why the first one after them is not. */
  readonly error?: unknown;
}

/**
 * Publishes a batch in order, all in flight at once, and waits for every acknowledgement. Each message carries the
 * event's id for deduplication, its number, and the trace of the mutation (not the relay's own). "Duplicate" counts
 * as stored: an earlier attempt got through and its acknowledgement did not.
 */
export async function publishBatch(
  connection: NatsConnection,
  source: string,
  { cursor, entries }: Batch,
): Promise<PublishResult> {
  const stream = jetstream(connection, { timeout: ackTimeoutMs });
  const acks = await Promise.allSettled(
    entries.map((entry) => {
      const headers = natsHeaders();
      headers.set(eventHeaders.source, source);
      headers.set(eventHeaders.epoch, cursor.epoch);
      headers.set(eventHeaders.sequence, String(entry.seq));
      headers.set(eventHeaders.correlationId, entry.correlationId);
      headers.set(eventHeaders.traceparent, entry.traceparent);
      return stream.publish(`evt.${entry.type}`, entry.entry, {
        msgID: entry.eventId,
        headers,
        timeout: ackTimeoutMs,
        expect: { streamName: eventStream },
      });
    }),
  );
  const failedAt = acks.findIndex((ack) => ack.status === 'rejected');
  if (failedAt === -1) return { stored: entries.length };
  const failed = acks[failedAt];
  return { stored: failedAt, error: failed?.status === 'rejected' ? failed.reason : undefined };
}
