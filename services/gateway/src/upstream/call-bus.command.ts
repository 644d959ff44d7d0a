import { errors as natsErrors, headers as natsHeaders } from '@nats-io/transport-node';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { BusReply } from '@prime-nest/contracts/assertion';
import { AppError } from '@prime-nest/contracts/errors';
import { busHealth } from '@prime-nest/kit/bus/connection';
import { decodeBody, decodeError } from '@prime-nest/kit/bus/wire';
import type { UpstreamAnswer } from './answer.js';

export interface BusCall {
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly timeoutMs: number;
  readonly answerBytesMax: number;
}

/** Requests to services that answer on subjects below `ext.`. A request is never sent twice. */
export class BusUpstreams {
  readonly #connection: NatsConnection;
  readonly #waiting = new Set<() => void>();

  constructor(connection: NatsConnection) {
    this.#connection = connection;
    // Whoever waits when the connection is lost waits in vain: the reply inbox is gone with it.
    busHealth(connection).onLost(() => {
      for (const giveUp of this.#waiting) giveUp();
    });
  }

  /**
   * Sends one request and answers its reply as JSON. Throws `upstream_unavailable` when nobody listens or we are not
   * connected, `upstream_timeout`, or `upstream_failed` for a reply that is an error, too large or of another shape.
   */
  async run({ subject, headers, body, timeoutMs, answerBytesMax }: BusCall): Promise<UpstreamAnswer> {
    if (!busHealth(this.#connection).isConnected) throw failed('upstream_unavailable', 'disconnected');
    const sent = natsHeaders();
    for (const [name, value] of Object.entries(headers)) sent.set(name, value);
    const message = await this.#orLost(this.#connection.request(subject, body, { timeout: timeoutMs, headers: sent }));
    if (decodeError(message) !== undefined) throw failed('upstream_failed', 'error reply');
    const reply = BusReply.safeParse(valueOf(message, answerBytesMax));
    if (!reply.success) throw failed('upstream_failed', 'reply of another shape');
    const { status, body: value } = reply.data;
    if (value === undefined) return { status, headers: {}, body: Buffer.alloc(0) };
    return { status, headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify(value)) };
  }

  #orLost(reply: Promise<Msg>): Promise<Msg> {
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        reject(failed('upstream_unavailable', 'connection lost'));
      };
      this.#waiting.add(giveUp);
      reply
        .then(resolve, (error: unknown) => {
          reject(asUpstreamError(error));
        })
        .finally(() => this.#waiting.delete(giveUp));
    });
  }
}

function valueOf(message: Msg, bytesMax: number): unknown {
  try {
    return decodeBody(message.data, bytesMax);
  } catch {
    throw failed('upstream_failed', 'reply too large or not JSON');
  }
}

function asUpstreamError(error: unknown): AppError {
  const inner = error instanceof natsErrors.RequestError && error.cause !== undefined ? error.cause : error;
  if (inner instanceof natsErrors.NoRespondersError) return failed('upstream_unavailable', 'no responders');
  if (inner instanceof natsErrors.TimeoutError) return failed('upstream_timeout', 'time is over');
  return failed('upstream_failed', inner instanceof Error ? inner.name : 'request failed');
}

function failed(code: 'upstream_unavailable' | 'upstream_timeout' | 'upstream_failed', reason: string): AppError {
  return new AppError(code, { internal: { reason } });
}
