import { readFileSync } from 'node:fs';
import { rpc } from '@prime-nest/contracts/subjects';
import { revocationLeaseMs } from '@prime-nest/contracts/identity';
import { createBusClient } from '@prime-nest/kit/bus/client';
import { systemClock } from '@prime-nest/kit/clock';
import type { Clock } from '@prime-nest/kit/clock';
import { Lease, momentOf, systemClocks } from '@prime-nest/kit/lease';
import type { Logger } from '@prime-nest/kit/log';
import { busLog } from '@prime-nest/kit/outbox/bus-receipts';
import type { NatsConnection } from '@nats-io/transport-node';
import { Authenticator } from './access/authenticator.js';
import { ClaimsCache } from './access/claims-cache.js';
import { DecideCommand } from './access/decide.command.js';
import { KeyFeed } from './access/key-feed.consumer.js';
import { KeySet } from './access/key-set.js';
import { RevocationFeed } from './access/revocation-feed.consumer.js';
import { RevocationSet } from './access/revocation-set.js';
import type { AppParts } from './app.js';
import { assertionKey } from './config.js';
import type { GatewayConfig } from './config.js';
import { withCircuits } from './calls.js';
import { GatewayChecks } from './health-checks.js';
import { RateLimit } from './limits/rate-limit.guard.js';
import { redisOptions } from './limits/redis-options.js';
import { Spool } from './spool/spool.job.js';
import { revocationsAge } from './telemetry.js';
import { createUpstreams } from './upstream/upstreams.js';

/** Access tokens live minutes; one that claims more than a day was not made under our policy. */
const lifetimeSecondsMax = 86_400;
const skewSeconds = 30;

export interface PartsOptions {
  readonly config: Pick<
    GatewayConfig,
    | 'TOKEN_ISSUER'
    | 'TOKEN_AUDIENCE'
    | 'REDIS_URL'
    | 'REDIS_SENTINEL_NAME'
    | 'REDIS_TLS_CA_FILE'
    | 'RATE_LIMIT_ANONYMOUS_MAX'
    | 'RATE_LIMIT_PRINCIPAL_MAX'
    | 'RATE_LIMIT_WINDOW_SECONDS'
    | 'RATE_LIMIT_ROUTES'
    | 'TRACE_URL_TEMPLATE'
    | 'GATEWAY_SPOOL_DIR'
    | 'GATEWAY_SPOOL_BYTES_MAX'
    | 'AUDIT_PUBLIC_KEY'
    | 'GATEWAY_ROUTES_FILE'
    | 'GATEWAY_ASSERTION_KEY'
  >;
  readonly connection: NatsConnection;
  readonly log: Logger;
  readonly clock?: Clock;
  readonly isDraining: () => boolean;
}

export interface Parts extends AppParts {
  /** Begins to fetch keys and revocations and to connect to Redis; what is missing shows in readiness. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Everything behind the HTTP side, wired to one bus connection. */
export function createParts({ config, connection, log, clock = systemClock, isDraining }: PartsOptions): Parts {
  const calls = withCircuits(createBusClient({ connection, contracts: rpc, log }), log);
  const keys = new KeySet();
  const revocations = new RevocationSet(systemClocks.monoMs);
  revocationsAge.from(() => (lease.ageMs(momentOf(clocks)) ?? Number.POSITIVE_INFINITY) / 1000);
  const lease = new Lease(revocationLeaseMs);
  const clocks = { ...systemClocks, wallMs: () => clock().getTime() };
  const keyFeed = new KeyFeed({ connection, calls, keys, clock, log });
  const revocationFeed = new RevocationFeed({ connection, calls, revocations, lease, clock, clocks, log });
  const limit = new RateLimit({
    redis: redisOptions({
      url: config.REDIS_URL.reveal(),
      sentinelName: config.REDIS_SENTINEL_NAME,
      ca: config.REDIS_TLS_CA_FILE === undefined ? undefined : readFileSync(config.REDIS_TLS_CA_FILE, 'utf8'),
    }),
    max: { address: config.RATE_LIMIT_ANONYMOUS_MAX, principal: config.RATE_LIMIT_PRINCIPAL_MAX },
    windowSeconds: config.RATE_LIMIT_WINDOW_SECONDS,
    overrides: config.RATE_LIMIT_ROUTES,
    log,
  });
  const authenticator = new Authenticator({
    keys,
    cache: new ClaimsCache(),
    revocations,
    lease,
    clocks,
    policy: { issuer: config.TOKEN_ISSUER, audience: config.TOKEN_AUDIENCE, skewSeconds, lifetimeSecondsMax },
    onUnknownKey: () => keyFeed.onUnknownKey(),
  });
  const { ask, prove } = busLog({ source: 'gateway', connection, publicKey: config.AUDIT_PUBLIC_KEY, log });
  const spool = new Spool({
    root: config.GATEWAY_SPOOL_DIR,
    bytesMax: config.GATEWAY_SPOOL_BYTES_MAX,
    connection,
    receipts: { ask },
    prove,
    clock,
    log,
  });
  const file = config.GATEWAY_ROUTES_FILE;
  const key = assertionKey(config);
  const upstreams =
    file === undefined || key === undefined
      ? undefined
      : createUpstreams({ file, key, connection, recordEvent: spool.recordEvent, clock, log });
  return {
    calls,
    decide: new DecideCommand(calls),
    keys,
    checks: new GatewayChecks({ connection, keyFeed, revocationFeed, limit, spool, log, isDraining }),
    traceUrlTemplate: config.TRACE_URL_TEMPLATE,
    authenticator,
    limit,
    recordEvent: spool.recordEvent,
    upstreams,
    assertionKeys: upstreams === undefined ? [] : [upstreams.signer.publicKey],
    clock,
    log,
    isDraining,
    start: async () => {
      limit.start();
      spool.start();
      await Promise.all([keyFeed.start(), revocationFeed.start()]);
    },
    stop: async () => {
      await Promise.all([keyFeed.stop(), revocationFeed.stop(), spool.stop()]);
      limit.stop();
      await upstreams?.stop();
    },
  };
}
