import { setTimeout as wait } from 'node:timers/promises';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
import type { Authenticator, NatsConnection } from '@nats-io/transport-node';
import type { NatsEnv } from '../config-keys.js';
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
  /** Seed of the service's own nkey. It proves who connects and never leaves the process: NATS knows the public half. */
  readonly nkeySeed?: Secret | undefined;
  /** Given, even empty: a server without TLS is refused. */
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
 * ever with jitter, also after a refused login (keys get rotated). Replies arrive on an inbox that only this
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

/**
 * `NATS_*` as {@link BusOptions}. TLS is demanded when an address says `tls://` or a certificate file is set; a server
 * that then does not offer it is refused.
 */
export function busTarget(env: NatsEnv): Pick<BusOptions, 'servers' | 'nkeySeed' | 'tls'> {
  const tls = { caFile: env.NATS_TLS_CA_FILE, certFile: env.NATS_TLS_CERT_FILE, keyFile: env.NATS_TLS_KEY_FILE };
  const isPlain = Object.values(tls).every((file) => file === undefined);
  return { servers: env.NATS_URL, nkeySeed: env.NATS_NKEY_SEED, tls: isPlain ? undefined : tls };
}

/** Answers the server's challenge with a signature; for clients that do without {@link connectBus}. */
export function busAuthenticator(seed: Secret): Authenticator {
  return nkeyAuthenticator(() => new TextEncoder().encode(seed.reveal()));
}

function connectionOptions({ servers, nkeySeed, tls, name }: BusOptions) {
  const list = servers.split(',').map((server) => server.trim());
  return {
    servers: list,
    name,
    ...(nkeySeed === undefined ? {} : { authenticator: busAuthenticator(nkeySeed) }),
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
