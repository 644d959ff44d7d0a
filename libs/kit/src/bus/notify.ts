import type { NatsConnection } from '@nats-io/transport-node';
import { AppError } from '@prime-nest/contracts/errors';
import type { z } from 'zod';
import type { Logger } from '../log.js';
import { Listener } from './listener.js';
import { decodeBody, encodeBody, requestBytesMax } from './wire.js';

/**
 * Broadcasts to every listener of `notify.<service>.<noun>.v<n>`: at most once, to whoever is connected now. A
 * notification is a hint that saves somebody a wait; no promise may rest on its arrival.
 */
export function publishNotify<S extends z.ZodType>(
  connection: NatsConnection,
  subject: string,
  schema: S,
  message: z.input<S>,
): void {
  const parsed = schema.safeParse(message);
  if (!parsed.success)
    throw new AppError('internal', { internal: { subject, reason: 'the notification breaks its schema' } });
  connection.publish(subject, encodeBody(parsed.data));
}

export interface NotifyOptions<S extends z.ZodType> {
  readonly connection: NatsConnection;
  readonly subject: string;
  readonly schema: S;
  readonly onNotify: (message: z.output<S>) => void | Promise<void>;
  readonly log: Logger;
}

export interface NotifySubscription {
  /** A readiness check: throws while the subject does not reach this process. */
  check(): Promise<void>;
  stop(): Promise<void>;
}

/** Listens to a broadcast (every replica, no queue group). A malformed message or a failing handler is logged and skipped. */
export async function subscribeNotify<S extends z.ZodType>(options: NotifyOptions<S>): Promise<NotifySubscription> {
  const { connection, subject, schema, onNotify, log } = options;
  const listener = new Listener({
    connection,
    subject,
    log,
    onMessage: (message) => {
      void (async () => {
        try {
          const parsed = schema.safeParse(decodeBody(message.data, requestBytesMax));
          if (parsed.success) await onNotify(parsed.data);
          else log.warn({ subject }, 'notify.malformed');
        } catch (error) {
          log.warn({ subject, err: error }, 'notify.failed');
        }
      })();
    },
  });
  await listener.start();
  return {
    check: () =>
      listener.isListening() ? Promise.resolve() : Promise.reject(new Error(`not subscribed to ${subject}`)),
    stop: () => listener.stop(),
  };
}
