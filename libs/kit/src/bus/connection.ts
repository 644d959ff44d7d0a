import { setTimeout as wait } from 'node:timers/promises';
import { connect } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { backoffMs } from '../retry.js';
import type { Logger } from '../log.js';
import type { Secret } from '../secret.js';
import { BusHealth } from './health.js';

export interface BusTls {
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

export interface BusOptions {
  /** One address, or several with commas. */
  readonly servers: string;
  readonly user?: string | undefined;
  readonly password?: Secret | undefined;
  readonly tls?: BusTls | undefined;
  /** The service: name of the connection and of its private inbox `_INBOX.<name>`. */
  readonly name: string;
  readonly log: Logger;
  /** Ends the wait for a first connection. */
  readonly signal?: AbortSignal;
}

const healthOf = new WeakMap<NatsConnection, BusHealth>();

/**
 * Connects to NATS and stays connected: waits for the first connection with progress in the log, then reconnects for
 * ever with jitter, also after a refused login (passwords get rotated). Replies arrive on an inbox that only this
 * service may read.
 */
export async function connectBus(options: BusOptions): Promise<NatsConnection> {
  const { log, signal } = options;
  for (let attempt = 1; ; attempt++) {
    try {
      const connection = await connect(connectionOptions(options));
      const health = new BusHealth(connection, log);
      healthOf.set(connection, health);
      void health.watch();
      log.info({ server: connection.getServer(), attempt }, 'bus.connected');
      return connection;
    } catch (error) {
      log.warn({ err: error, attempt }, 'bus.connect_failed');
      await wait(backoffMs(attempt), undefined, signal === undefined ? {} : { signal });
    }
  }
}

/** Sends what is buffered, ends the subscriptions and closes. Without a server there is nothing to wait for. */
export async function drainBus(connection: NatsConnection): Promise<void> {
  if (connection.isClosed()) return;
  try {
    if (busHealth(connection).isConnected && !connection.isDraining()) await connection.drain();
  } catch {
    // Lost in the middle: what could be sent has been.
  }
  await connection.close();
}

/** What is known about a connection that {@link connectBus} made. */
export function busHealth(connection: NatsConnection): BusHealth {
  const health = healthOf.get(connection);
  if (health === undefined) throw new TypeError('the connection was not made by connectBus');
  return health;
}

/** `NATS_TLS_*` as {@link BusTls}: undefined, and so no TLS of our own asking, unless one of them is set. */
export function busTls(env: {
  readonly NATS_TLS_CA_FILE?: string | undefined;
  readonly NATS_TLS_CERT_FILE?: string | undefined;
  readonly NATS_TLS_KEY_FILE?: string | undefined;
}): BusTls | undefined {
  const tls = { caFile: env.NATS_TLS_CA_FILE, certFile: env.NATS_TLS_CERT_FILE, keyFile: env.NATS_TLS_KEY_FILE };
  return Object.values(tls).every((file) => file === undefined) ? undefined : tls;
}

function connectionOptions({ servers, user, password, tls, name }: BusOptions) {
  const list = servers.split(',').map((server) => server.trim());
  return {
    servers: list,
    name,
    ...(user === undefined ? {} : { user, pass: password?.reveal() ?? '' }),
    ...(tls === undefined && !list.some((server) => server.startsWith('tls://'))
      ? {}
      : { tls: definedOnly(tls ?? {}) }),
    timeout: 2_000,
    inboxPrefix: `_INBOX.${name}`,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: () => 100 + Math.random() * 400,
    ignoreAuthErrorAbort: true,
    // A peer that died without closing: noticed after two missed pings.
    pingInterval: 5_000,
    maxPingOut: 2,
    // The default takes a stack trace per request and doubles its cost.
    noAsyncTraces: true,
  };
}

function definedOnly(tls: BusTls): Record<string, string> {
  return Object.fromEntries(Object.entries(tls).filter((entry): entry is [string, string] => entry[1] !== undefined));
}
