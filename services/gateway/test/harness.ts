import { generateKeyPairSync } from 'node:crypto';
import { rpc } from '@prime-nest/contracts/subjects';
import { createBusClient } from '@prime-nest/kit/bus/client';
import { DecideCommand } from '../src/access/decide.command.js';
import { AppError } from '@prime-nest/contracts/errors';
import type { Revocation } from '@prime-nest/contracts/identity';
import { connectBus } from '@prime-nest/kit/bus/connection';
import { publishNotify } from '@prime-nest/kit/bus/notify';
import { identityNotify } from '@prime-nest/contracts/identity';
import { createLogger, silentLogger } from '@prime-nest/kit/log';
import type { Logger } from '@prime-nest/kit/log';
import { Secret } from '@prime-nest/kit/secret';
import { eventually } from '@prime-nest/testkit/eventually';
import { startTestNats } from '@prime-nest/testkit/nats';
import type { TestNats } from '@prime-nest/testkit/nats';
import { startTestRedis } from '@prime-nest/testkit/redis';
import { runFolder } from '@prime-nest/testkit/test-run';
import type { TestRedis } from '@prime-nest/testkit/redis';
import type { RouteOverrides } from '../src/limits/quota.js';
import { buildApp } from '../src/app.js';
import type { App, AppParts } from '../src/app.js';
import { closeServer } from '../src/http-server.js';
import { createParts } from '../src/parts.js';
import { Peers } from './peers.js';
import { audience, goodClaims, issuer, newSigningKey, signToken } from './tokens.js';
import type { SigningKey } from './tokens.js';

export interface Servers {
  readonly nats: TestNats;
  readonly redis: TestRedis;
  readonly peers: Peers;
  readonly key: SigningKey;
  readonly identity: PretendedIdentity;
  stop(): Promise<void>;
}

/** Keys and revocations as identity serves them. */
export class PretendedIdentity {
  sequence = 0;
  readonly revocations: Revocation[] = [];
  readonly #peers: Peers;
  #heartbeat: NodeJS.Timeout | undefined;
  keys: SigningKey[];

  constructor(peers: Peers, key: SigningKey) {
    this.#peers = peers;
    this.keys = [key];
    this.serve();
  }

  serve(): void {
    this.#peers.answer('identity.key.list.v1', () => ({ keys: this.keys.map(({ jwk }) => jwk) }));
    this.#peers.answer('identity.revocation.list.v1', () => this.snapshot());
    this.#peers.answer('identity.revocation.renew_lease.v1', () => ({ sequence: this.sequence }));
    this.#peers.answer('identity.revocation.end_lease.v1', () => ({}));
    this.beat();
  }

  snapshot() {
    return { sequence: this.sequence, head: this.sequence, revocations: this.revocations };
  }

  beat(): void {
    this.stopBeating();
    this.#heartbeat = setInterval(() => this.announce([]), 500);
  }

  stopBeating(): void {
    clearInterval(this.#heartbeat);
  }

  revokeSession(sessionId: string): void {
    this.sequence += 1;
    this.announce([this.revocationOf(sessionId)]);
  }

  /** A revocation that the list has from now on; nobody has been told. */
  revocationOf(sessionId: string): Revocation {
    const until = new Date(Date.now() + 900_000).toISOString();
    const revocation = { kind: 'session' as const, sessionId, until };
    this.revocations.push(revocation);
    return revocation;
  }

  announce(revocations: Revocation[]): void {
    const subject = 'notify.identity.revocations.v1';
    const message = { sequence: this.sequence, revocations };
    publishNotify(this.#peers.connection('identity'), subject, identityNotify[subject], message);
  }
}

export async function startServers(): Promise<Servers> {
  const [nats, redis] = await Promise.all([startTestNats({ streams: false }), startTestRedis()]);
  const peers = await Peers.connect(nats);
  const key = newSigningKey();
  const identity = new PretendedIdentity(peers, key);
  return {
    nats,
    redis,
    peers,
    key,
    identity,
    stop: async () => {
      identity.stopBeating();
      await peers.close();
      await Promise.all([nats.stop(), redis.stop()]);
    },
  };
}

const assertionKeyPem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

export interface GatewayOptions {
  readonly anonymousMax?: number;
  readonly principalMax?: number;
  readonly windowSeconds?: number;
  readonly routeLimits?: RouteOverrides;
  readonly allowedOrigins?: readonly string[];
  readonly trustedProxyHops?: number;
  readonly apiDocs?: boolean;
  readonly connectionsPerAddress?: number;
  readonly controllers?: NonNullable<AppParts['controllers']>;
  readonly routesFile?: string;
  readonly logTo?: string[];
  /** Where NATS and Redis are, when not at their own ports: links. */
  readonly natsPort?: number;
  readonly redisPort?: number;
  /** Default true. */
  readonly waitUntilReady?: boolean;
}

export interface Gateway {
  readonly app: App;
  readonly url: string;
  readonly port: number;
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** Reads the route file again, as on SIGHUP. */
  reloadRoutes(): Promise<void>;
  stop(): Promise<void>;
}

export async function startGateway({ nats, redis }: Servers, options: GatewayOptions = {}): Promise<Gateway> {
  const log = loggerFor(options.logTo);
  const servers = options.natsPort === undefined ? nats.servers : `nats://127.0.0.1:${options.natsPort}`;
  const connection = await connectBus({ ...nats.credentials('gateway'), servers, log });
  const config = {
    API_PREFIX: 'api',
    API_DOCS: options.apiDocs ?? true,
    ALLOWED_ORIGINS: options.allowedOrigins ?? [],
    TRUSTED_PROXY_HOPS: options.trustedProxyHops ?? 0,
    HTTP_MAX_CONNECTIONS: 10_000,
    HTTP_MAX_CONNECTIONS_PER_ADDRESS: options.connectionsPerAddress ?? 10_000,
    RATE_LIMIT_WINDOW_SECONDS: options.windowSeconds ?? 900,
    RATE_LIMIT_ANONYMOUS_MAX: options.anonymousMax ?? 100_000,
    RATE_LIMIT_ROUTES: options.routeLimits ?? {},
    RATE_LIMIT_PRINCIPAL_MAX: options.principalMax ?? 100_000,
    REDIS_URL: new Secret(options.redisPort === undefined ? redis.url : `redis://127.0.0.1:${options.redisPort}`),
    GATEWAY_SPOOL_DIR: await runFolder('spool'),
    GATEWAY_SPOOL_BYTES_MAX: 16_777_216,
    TOKEN_ISSUER: issuer,
    TOKEN_AUDIENCE: audience,
    ...(options.routesFile === undefined
      ? {}
      : { GATEWAY_ROUTES_FILE: options.routesFile, GATEWAY_ASSERTION_KEY: new Secret(assertionKeyPem) }),
  };
  const parts = createParts({ config, connection, log, isDraining: () => false });
  const release = async () => {
    await parts.stop();
    await connection.close();
  };
  let app: App;
  try {
    await parts.start();
    app = await buildApp(config, {
      ...parts,
      ...(options.controllers === undefined ? {} : { controllers: options.controllers }),
    });
  } catch (error) {
    await release();
    throw error;
  }
  await app.nest.listen(0, '127.0.0.1');
  const url = await app.nest.getUrl();
  const gateway = {
    app,
    url,
    port: Number(new URL(url).port),
    fetch: (path: string, init?: RequestInit) => fetch(`${url}${path}`, init),
    reloadRoutes: async () => parts.upstreams?.load.reload(),
    stop: async () => {
      await closeServer(app.nest.getHttpServer());
      await app.nest.close();
      await release();
    },
  };
  if (options.waitUntilReady !== false) {
    await eventually(async () => (await gateway.fetch('/health/readiness')).status === 200);
  }
  return gateway;
}

/** The decision path alone, on a connection of its own. */
export async function connectDecide({ nats }: Servers): Promise<{ decide: DecideCommand; stop(): Promise<void> }> {
  const log = silentLogger();
  const connection = await connectBus({ ...nats.credentials('gateway'), log });
  const decide = new DecideCommand(createBusClient({ connection, contracts: rpc, log }));
  return { decide, stop: () => connection.close() };
}

function loggerFor(lines: string[] | undefined): Logger {
  if (lines === undefined) return silentLogger();
  return createLogger({ service: 'gateway', level: 'info', destination: { write: (line) => void lines.push(line) } });
}

export interface TestUser {
  readonly id: string;
  readonly sessionId: string;
  readonly token: string;
  readonly headers: { readonly authorization: string };
}

export function newUser(key: SigningKey, over: Record<string, unknown> = {}): TestUser {
  const claims = { ...goodClaims(new Date()), ...over };
  const token = signToken(key, claims);
  return { id: claims.sub, sessionId: claims.sid, token, headers: { authorization: `Bearer ${token}` } };
}

/** rbac that allows exactly the given permissions to everybody. */
export function allowOnly(peers: Peers, permissions: readonly string[]): void {
  peers.answer('rbac.access.decide.v1', ({ checks }) => ({
    revision: 7,
    decisions: checks.map(({ permission }) =>
      permissions.includes(permission) ? { effect: 'allow' } : { effect: 'deny', reason: 'no_grant' },
    ),
  }));
}

export const unavailable = () => {
  throw new AppError('unavailable');
};

/** The effect of a mutation as rbac tells it. */
export const effectAt = (revision: number) => ({
  revision,
  effective: 'all' as const,
  barrierMs: 1.5,
  acked: [],
  fenced: [],
});

export const json = (body: unknown) => ({
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

export async function problemOf(
  response: Response,
): Promise<{ code: string; status: number } & Record<string, unknown>> {
  return (await response.json()) as { code: string; status: number };
}
