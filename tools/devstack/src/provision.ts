import { auditConsumer } from '@prime-nest/contracts/bus';
import { eventStream } from '@prime-nest/contracts/events';
import { JetStreamApiError, jetstreamManager } from '@nats-io/jetstream';
import type { ConsumerConfig, JetStreamManager, StreamConfig } from '@nats-io/jetstream';
import { connect, nanos } from '@nats-io/transport-node';
import { isDeepStrictEqual } from 'node:util';

const second = 1000;
const day = 24 * 60 * 60 * second;

/** The stream that carries every event to audit. It refuses new events when full; nobody deletes from it. */
export const wantedStream = {
  name: eventStream,
  subjects: ['evt.>'],
  retention: 'limits',
  storage: 'file',
  discard: 'new',
  num_replicas: 1,
  max_age: nanos(14 * day),
  duplicate_window: nanos(600 * second),
  deny_delete: true,
  deny_purge: true,
} as const satisfies Partial<StreamConfig>;

/** The durable position of audit's sequencer: every event, acknowledged one by one, redelivered for ever. */
export const wantedConsumer = {
  durable_name: auditConsumer,
  deliver_policy: 'all',
  ack_policy: 'explicit',
  ack_wait: nanos(10 * second),
  max_deliver: -1,
  max_ack_pending: 20_000,
} as const satisfies Partial<ConsumerConfig>;

/** The server holds something else than what was asked for, and cannot be brought to it. */
export class ProvisionError extends Error {
  override readonly name = 'ProvisionError';
}

export interface ProvisionTarget {
  readonly servers: string;
  readonly user: string;
  readonly password: string;
  /** Copies of the stream in a cluster; 1 for a single server. */
  readonly replicas?: number;
}

/**
 * The stream and the consumer exist exactly as wanted afterwards. An existing one is updated where the server allows
 * it; anything that still differs is refused, because older servers silently drop settings they do not know.
 */
export async function provisionStreams(target: ProvisionTarget): Promise<void> {
  const connection = await connect({
    servers: target.servers,
    user: target.user,
    pass: target.password,
    name: 'provision',
    inboxPrefix: `_INBOX.${target.user}`,
  });
  try {
    const manager = await jetstreamManager(connection, { checkAPI: false, timeout: 10_000 });
    const stream = { ...wantedStream, subjects: [...wantedStream.subjects], num_replicas: target.replicas ?? 1 };
    await provisionStream(manager, stream);
    await provisionConsumer(manager);
  } finally {
    await connection.close();
  }
}

async function provisionStream(manager: JetStreamManager, wanted: Partial<StreamConfig> & { name: string }) {
  const existing = await present(() => manager.streams.info(wanted.name));
  if (existing === undefined) await manager.streams.add(wanted);
  else if (differences(wanted, existing.config).length > 0) {
    await attempt(`stream ${wanted.name}`, wanted, existing.config, () => manager.streams.update(wanted.name, wanted));
  }
  const { config } = await manager.streams.info(wanted.name);
  refuse(`stream ${wanted.name}`, differences(wanted, config));
}

async function provisionConsumer(manager: JetStreamManager): Promise<void> {
  const name = wantedConsumer.durable_name;
  const existing = await present(() => manager.consumers.info(eventStream, name));
  if (existing === undefined) await manager.consumers.add(eventStream, wantedConsumer);
  else if (differences(wantedConsumer, existing.config).length > 0) {
    await attempt(`consumer ${name}`, wantedConsumer, existing.config, () =>
      manager.consumers.update(eventStream, name, wantedConsumer),
    );
  }
  const { config } = await manager.consumers.info(eventStream, name);
  refuse(`consumer ${name}`, differences(wantedConsumer, config));
}

/** A refused update is reported as the difference it was meant to remove. */
async function attempt(what: string, wanted: object, actual: object, update: () => Promise<unknown>): Promise<void> {
  try {
    await update();
  } catch (cause) {
    if (!(cause instanceof JetStreamApiError)) throw cause;
    throw new ProvisionError(message(what, differences(wanted, actual), cause.message), { cause });
  }
}

function refuse(what: string, found: readonly string[]): void {
  if (found.length > 0) throw new ProvisionError(message(what, found, 'the server keeps its own value'));
}

function message(what: string, found: readonly string[], why: string): string {
  return `${what} differs from what is wanted (${found.join('; ')}): ${why}`;
}

/** Every wanted setting whose value on the server is another: `max_age: wanted 1, is 2`. */
export function differences(wanted: object, actual: object): string[] {
  const held = actual as Readonly<Record<string, unknown>>;
  return Object.entries(wanted)
    .filter(([key, value]) => !isDeepStrictEqual(value, held[key]))
    .map(([key, value]) => `${key}: wanted ${JSON.stringify(value)}, is ${JSON.stringify(held[key])}`);
}

async function present<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof JetStreamApiError && error.status === 404) return undefined;
    throw error;
  }
}
