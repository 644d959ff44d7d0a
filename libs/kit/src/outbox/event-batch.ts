import { EventBatchHead, eventBatchMax } from '@prime-nest/contracts/events';

/** An event in a message with others: what is in the head, and its bytes exactly as they were stored. */
export type BatchedEvent = Omit<EventBatchHead[number], 'size'> & { readonly entry: Uint8Array };

/** Bytes of the events of one message, unless it is one event: far below what NATS takes. */
const bytesMax = 128 * 1024;
const newline = 0x0a;

/**
 * Cuts a run of numbered entries into messages. A cut is made wherever a number ends a full message, whatever the run
 * began with: entries that are published again are then mostly the same messages under the same ids.
 */
export function cutIntoMessages<T extends { readonly seq: bigint; readonly entry: Uint8Array }>(
  entries: readonly T[],
): T[][] {
  const messages: T[][] = [];
  let bytes = 0;
  for (const entry of entries) {
    const open = messages.at(-1);
    bytes += entry.entry.length;
    if (open === undefined || (entry.seq - 1n) % BigInt(eventBatchMax) === 0n || bytes > bytesMax) {
      messages.push([entry]);
      bytes = entry.entry.length;
    } else {
      open.push(entry);
    }
  }
  return messages;
}

/** The body of a message with these events. */
export function encodeEventBatch(events: readonly BatchedEvent[]): Buffer {
  const head = events.map(({ type, entry, correlationId, traceparent, publisher }) => ({
    type,
    size: entry.length,
    correlationId,
    traceparent,
    ...(publisher === undefined ? {} : { publisher }),
  }));
  return Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`, 'utf8'), ...events.map(({ entry }) => entry)]);
}

/** The events of such a body; undefined when it is none. No input makes it throw. */
export function decodeEventBatch(body: Uint8Array): BatchedEvent[] | undefined {
  const start = body.indexOf(newline) + 1;
  const head = start === 0 ? undefined : readHead(body.subarray(0, start - 1));
  if (head === undefined) return undefined;
  let end = start;
  const events = head.map(({ size, ...event }) => ({ ...event, entry: body.subarray(end, (end += size)) }));
  return end === body.length ? events : undefined;
}

function readHead(bytes: Uint8Array): EventBatchHead | undefined {
  try {
    return EventBatchHead.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch {
    return undefined;
  }
}
