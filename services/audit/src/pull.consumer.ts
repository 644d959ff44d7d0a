import { setTimeout as wait } from 'node:timers/promises';
import { createInbox, nanos } from '@nats-io/transport-node';
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import { busHealth } from '@prime-nest/kit/bus/connection';
import { receivedHeaders } from '@prime-nest/kit/bus/received';
import type { ReceivedHeaders } from '@prime-nest/kit/bus/received';

export interface PullOptions<T> {
  readonly connection: NatsConnection;
  readonly stream: string;
  readonly consumer: string;
  /** What one batch holds of what was read, whole messages and at least one; twice as many messages may wait in memory. */
  readonly batchMax: number;
  /** Reads a message when it arrives: while the batch before it is being worked on. It must not throw. */
  readonly read: (message: Taken) => readonly T[];
}

/** A message that has been delivered and is to be settled, one way or the other. */
export interface Taken {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: ReceivedHeaders;
  /** Its position in the stream. */
  readonly order: number;
  /** How often it has been delivered, this time included. */
  readonly deliveries: number;
  /** Never again, please. Not confirmed: a lost acknowledgement means one more delivery. */
  ack(): void;
  /** Again, after so many milliseconds. */
  giveBack(delayMs?: number): void;
}

/** Of the messages of one request. More than the longest that the server takes: one that did not fit would never come. */
const requestBytesMax = 1_200_000;
const expiresMs = 5_000;
const refusedPauseMs = 500;
const drainMs = 1_000;

/**
 * Takes messages from a durable pull consumer, batch by batch: the next ones are on their way while a batch is
 * worked on. It needs leave to ask for messages and to acknowledge them, nothing else. A request that the server
 * forgot (restart, lost connection) is asked again; messages that were lost with it are redelivered.
 */
export class Pull<T> {
  readonly #options: PullOptions<T>;
  readonly #subscription: Subscription;
  readonly #inbox = createInbox('_INBOX.audit');
  readonly #unwatch: () => void;
  readonly #queue: { readonly message: Taken; readonly values: readonly T[] }[] = [];
  #wanted = 0;
  #askedAt = 0;
  #notBefore = 0;
  #wake: (() => void) | undefined;
  #isClosed = false;

  constructor(options: PullOptions<T>) {
    this.#options = options;
    // The server forgets requests with the connection; a new connection starts from nothing.
    this.#unwatch = busHealth(options.connection).onBack(() => {
      this.#wanted = 0;
      this.#wake?.();
    });
    this.#subscription = options.connection.subscribe(this.#inbox, {
      callback: (error, message) => {
        if (error === null) this.#onMessage(message);
        this.#wake?.();
      },
    });
  }

  /** The messages that are here, at least one unless none came within `waitMs`. */
  async next(waitMs: number): Promise<T[]> {
    this.#refill();
    if (this.#queue.length === 0) await this.#arrival(waitMs);
    const batch: T[] = [];
    let messages = 0;
    for (const { values } of this.#queue) {
      if (messages > 0 && batch.length + values.length > this.#options.batchMax) break;
      batch.push(...values);
      messages++;
    }
    this.#queue.splice(0, messages);
    this.#refill();
    return batch;
  }

  /**
   * Stops asking. Messages that arrived and were not taken go back at once, also those still on their way, so that a
   * successor has them now and not after the server's patience.
   */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#unwatch();
    for (const { message } of this.#queue.splice(0)) message.giveBack();
    this.#wake?.();
    if (this.#subscription.isClosed()) return;
    // Without a server to answer there is nothing on its way either.
    await Promise.race([this.#subscription.drain().catch(() => undefined), wait(drainMs)]);
  }

  #onMessage(received: Msg): void {
    const place = placeInStream(received.reply);
    if (place !== undefined) {
      this.#wanted = Math.max(0, this.#wanted - 1);
      const message = taken(received, place);
      if (this.#isClosed) message.giveBack();
      else this.#queue.push({ message, values: this.#options.read(message) });
      return;
    }
    // A status instead of a message: 100 is a heartbeat, with anything else the request is over. 408 is its normal
    // end, as is a next message that is too long for what is left of it; the others (no consumer, no JetStream, too much
    // unacknowledged) would be the answer to the next one, too.
    const { code, description } = statusOf(received);
    if (code === 100) return;
    this.#wanted = 0;
    if (code === 409 && description === 'Message Size Exceeds MaxBytes') this.#refill();
    else if (code !== 408) this.#notBefore = performance.now() + refusedPauseMs;
  }

  #refill(): void {
    const { connection, stream, consumer, batchMax } = this.#options;
    const now = performance.now();
    const isAsked = this.#wanted > 0 && now - this.#askedAt < expiresMs + 1_000;
    if (this.#isClosed || isAsked || now < this.#notBefore || this.#queue.length >= batchMax) return;
    if (!busHealth(connection).isConnected) return;
    this.#askedAt = now;
    this.#wanted = batchMax;
    const request = { batch: batchMax, max_bytes: requestBytesMax, expires: nanos(expiresMs) };
    connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, JSON.stringify(request), {
      reply: this.#inbox,
    });
  }

  async #arrival(waitMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, waitMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }
}

/** What is no status of the server's at all ends the request like one that nobody knows. */
function statusOf(message: Msg): { readonly code: number; readonly description: string } {
  try {
    const { code = 0, description = '' } = message.headers ?? {};
    return { code, description };
  } catch {
    return { code: 0, description: '' };
  }
}

function taken(message: Msg, place: Pick<Taken, 'order' | 'deliveries'>): Taken {
  return {
    subject: message.subject,
    data: message.data,
    // Not the client's own, which throw at what only another client would send: the whole sequencer would stand still.
    headers: receivedHeaders(message),
    ...place,
    ack: () => message.respond('+ACK'),
    giveBack: (delayMs = 0) =>
      message.respond(delayMs === 0 ? '-NAK' : `-NAK ${JSON.stringify({ delay: nanos(delayMs) })}`),
  };
}

/**
 * The position in the stream and the number of deliveries, from the address that acknowledges one (NATS ADR-15):
 * `$JS.ACK.<stream>.<consumer>.<delivered>.<position>.…`, with domain and account after `ACK` on newer servers.
 */
function placeInStream(reply: string | undefined): Pick<Taken, 'order' | 'deliveries'> | undefined {
  const tokens = reply?.split('.') ?? [];
  if (tokens[0] !== '$JS' || tokens[1] !== 'ACK') return undefined;
  const [deliveries, order] = tokens.slice(tokens.length === 9 ? 4 : 6).map(Number);
  return Number.isSafeInteger(order) ? { order: Number(order), deliveries: Number(deliveries) } : undefined;
}
