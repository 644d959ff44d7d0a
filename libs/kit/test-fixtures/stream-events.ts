import type { JetStreamManager } from '@nats-io/jetstream';
import type { MsgHdrs } from '@nats-io/transport-node';
import { eventHeaders, eventStream } from '@prime-nest/contracts/events';
import { decodeEventBatch } from '../src/outbox/event-batch.js';

export interface Sighting {
  readonly id: string;
  readonly seq: number;
  readonly epoch: string;
  readonly traceparent: string;
}

/** What a message brings, one event or several; the id of an event is in its bytes. */
export function sightings(headers: MsgHdrs, body: Uint8Array): Sighting[] {
  const first = Number(headers.get(eventHeaders.sequence));
  const alone = { entry: body, traceparent: headers.get(eventHeaders.traceparent) };
  return (decodeEventBatch(body) ?? [alone]).map(({ entry, traceparent }, i) => ({
    id: (JSON.parse(Buffer.from(entry).toString()) as { id: string }).id,
    seq: first + i,
    epoch: headers.get(eventHeaders.epoch),
    traceparent,
  }));
}

/** What JetStream holds, message by message in its order: after deduplication. */
export async function storedMessages(manager: JetStreamManager): Promise<Sighting[][]> {
  const { state } = await manager.streams.info(eventStream);
  const found: Sighting[][] = [];
  for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
    const message = await manager.streams.getMessage(eventStream, { seq });
    if (message !== null) found.push(sightings(message.header, message.data));
  }
  return found;
}

/** Numbers of the events that JetStream holds, each once. */
export async function storedNumbers(manager: JetStreamManager): Promise<number[]> {
  return [...new Set((await storedMessages(manager)).flat().map(({ seq }) => seq))];
}
