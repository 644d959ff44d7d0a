import { baseKeys, inProductionUnless, logKeys, natsKeys, plaintextKey } from '@prime-nest/kit/config-keys';
import type { BaseEnv, LogEnv, NatsEnv } from '@prime-nest/kit/config-keys';
import { ConfigError, loadConfig } from '@prime-nest/kit/config';
import type { Environment } from '@prime-nest/kit/config';
import type { Secret } from '@prime-nest/kit/secret';
import Joi from 'joi';
import { parseOverrides } from './limits/quota.js';
import type { RouteOverrides } from './limits/quota.js';
import { createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

export interface GatewayConfig extends Omit<BaseEnv, 'HEALTH_HOST' | 'HEALTH_PORT'>, NatsEnv, LogEnv {
  readonly METRICS_HOST: string;
  readonly METRICS_PORT: number;
  readonly TRACE_URL_TEMPLATE?: string;
  readonly PORT: number;
  readonly HOST: string;
  readonly API_PREFIX: string;
  readonly API_DOCS: boolean;
  readonly ALLOWED_ORIGINS: readonly string[];
  readonly REDIS_URL: Secret;
  readonly REDIS_SENTINEL_NAME?: string;
  readonly REDIS_ALLOW_PLAINTEXT: boolean;
  readonly REDIS_TLS_CA_FILE?: string;
  readonly RATE_LIMIT_ANONYMOUS_MAX: number;
  readonly RATE_LIMIT_PRINCIPAL_MAX: number;
  readonly RATE_LIMIT_WINDOW_SECONDS: number;
  readonly RATE_LIMIT_ROUTES: RouteOverrides;
  readonly TRUSTED_PROXY_HOPS: number;
  readonly HTTP_MAX_CONNECTIONS: number;
  readonly HTTP_MAX_CONNECTIONS_PER_ADDRESS: number;
  readonly DRAIN_DELAY_MS: number;
  readonly TOKEN_ISSUER: string;
  readonly TOKEN_AUDIENCE: string;
  readonly GATEWAY_SPOOL_DIR: string;
  readonly GATEWAY_SPOOL_BYTES_MAX: number;
  readonly GATEWAY_ROUTES_FILE?: string;
  readonly GATEWAY_ASSERTION_KEY?: Secret;
}

// The gateway answers health on its own port, so that what is probed is what is served.
const { NODE_ENV, LOG_LEVEL, LOG_PRETTY, SHUTDOWN_TIMEOUT_MS, OTEL_ENABLED, OTEL_TRACES_PER_SECOND_MAX } = baseKeys;

/** A comma-separated list as an array; each origin in the exact form that browsers send (RFC 6454 §6.2). */
const originList = Joi.string()
  .custom((text: string, tools) => {
    const origins = text.split(',').map((origin) => origin.trim());
    return origins.every(isOrigin) ? origins : tools.error('any.custom');
  })
  .description(
    'Origins whose pages may call this API, with commas; scheme, host and port only. Production: https only.',
  );

const routeLimits = Joi.string()
  .custom((text: string, tools) => parseOverrides(text) ?? tools.error('any.custom'))
  .description(
    'Limits of single routes instead of the built-in ones (docs/en/operations.md), with commas: `login=10,audit-export=5/3600` allows 10 in the common window and 5 in 3600 seconds.',
  );

export const gatewayEnv = Joi.object({
  NODE_ENV,
  LOG_LEVEL,
  LOG_PRETTY,
  SHUTDOWN_TIMEOUT_MS,
  OTEL_ENABLED,
  OTEL_TRACES_PER_SECOND_MAX,
  METRICS_HOST: Joi.string().default('0.0.0.0').description('Address of the metrics, which are not for the public.'),
  METRICS_PORT: Joi.number()
    .integer()
    .min(0)
    .max(65_535)
    .default(9464)
    .invalid(Joi.ref('PORT', { adjust: (port: number) => (port === 0 ? -1 : port) }))
    .description('Port of the metrics, never that of the REST API; 0 takes any. Health is there as well.'),
  TRACE_URL_TEMPLATE: Joi.string()
    .pattern(/^https?:\/\/\S*\{traceId\}\S*$/)
    .description(
      'Where a person sees a trace: an address with `{traceId}` in it. Audit entries then carry a `traceUrl`.',
    ),
  ...natsKeys,
  ...logKeys,
  PORT: Joi.number().integer().min(0).max(65_535).default(3000).description('Port of the REST API; 0 takes any.'),
  HOST: Joi.string().default('0.0.0.0').description('Address that the REST API listens on.'),
  API_PREFIX: Joi.string()
    .pattern(/^[a-z0-9-]+(\/[a-z0-9-]+)*$/)
    .default('api')
    .description('First part of every path except health and the key set.'),
  API_DOCS: Joi.boolean()
    .when('NODE_ENV', {
      is: 'production',
      then: Joi.boolean().default(false),
      otherwise: Joi.boolean().default(true),
    })
    .description('Shows the API document and its pages at `<prefix>/docs`; in production only where this is set.'),
  ALLOWED_ORIGINS: originList.when('NODE_ENV', {
    is: 'production',
    then: Joi.string()
      .required()
      .pattern(/^https:\/\/[^\s,]+(\s*,\s*https:\/\/[^\s,]+)*$/),
    otherwise: Joi.string().optional(),
  }),
  REDIS_ALLOW_PLAINTEXT: plaintextKey('Redis'),
  REDIS_URL: Joi.string()
    .pattern(/^rediss?:\/\/\S+$/)
    .required()
    .when(
      'NODE_ENV',
      inProductionUnless(
        'REDIS_ALLOW_PLAINTEXT',
        Joi.string().pattern(/^rediss:/, 'rediss:// only, unless REDIS_ALLOW_PLAINTEXT is set'),
      ),
    )
    .meta({ secret: true })
    .description('Redis, where the gateways share their rate limits; `rediss://` speaks TLS.'),
  REDIS_SENTINEL_NAME: Joi.string()
    .pattern(/^[\w.-]+$/)
    .description('Name of the primary, when the addresses in REDIS_URL (with commas) are those of Sentinels.'),
  REDIS_TLS_CA_FILE: Joi.string().description(
    'PEM file of the authority that signed the certificate of Redis, if no public one did.',
  ),
  RATE_LIMIT_ANONYMOUS_MAX: Joi.number()
    .integer()
    .min(1)
    .max(1_000_000)
    .default(100)
    .unit('requests per window')
    .description('Requests without a valid token, per IPv4 address or IPv6 /64.'),
  RATE_LIMIT_PRINCIPAL_MAX: Joi.number()
    .integer()
    .min(1)
    .max(10_000_000)
    .default(1000)
    .unit('requests per window')
    .description('Requests with a valid token, per account.'),
  RATE_LIMIT_WINDOW_SECONDS: Joi.number()
    .integer()
    .min(1)
    .max(86_400)
    .default(900)
    .unit('seconds')
    .description('Length of the window, which slides: the limit holds for any stretch of that length.'),
  RATE_LIMIT_ROUTES: routeLimits,
  TRUSTED_PROXY_HOPS: Joi.number()
    .integer()
    .min(0)
    .max(10)
    .default(0)
    .description('Proxies in front that append to X-Forwarded-For; 0 ignores that header.'),
  HTTP_MAX_CONNECTIONS: Joi.number()
    .integer()
    .min(10)
    .max(1_000_000)
    .default(10_000)
    .description('Open connections; further ones are closed at once.'),
  HTTP_MAX_CONNECTIONS_PER_ADDRESS: Joi.number()
    .integer()
    .min(1)
    .max(1_000_000)
    .default(1_000)
    .description('The same of one IPv4 address or IPv6 /64; only where TRUSTED_PROXY_HOPS is 0.'),
  DRAIN_DELAY_MS: Joi.number()
    .integer()
    .min(0)
    .max(60_000)
    .default(500)
    .unit('milliseconds')
    .description('How long a stopping gateway still accepts requests, so that balancers notice that it is not ready.'),
  GATEWAY_SPOOL_DIR: Joi.string()
    .when('NODE_ENV', {
      is: 'production',
      then: Joi.required(),
      otherwise: Joi.string().default('/tmp/prime-nest-gateway'),
    })
    .description(
      'Folder on a local disk where events wait until the audit log has them; gateways of one machine may share it. Required in production.',
    ),
  GATEWAY_SPOOL_BYTES_MAX: Joi.number()
    .integer()
    .min(4_194_304)
    .max(68_719_476_736)
    .default(67_108_864)
    .unit('bytes')
    .description('Most that may wait there. Events that do not fit are counted, and the count is recorded later.'),
  TOKEN_ISSUER: Joi.string().max(256).default('prime-nest').description('The `iss` of access tokens.'),
  TOKEN_AUDIENCE: Joi.string().max(256).default('prime-nest').description('The `aud` of access tokens.'),
  GATEWAY_ROUTES_FILE: Joi.string().description(
    'Route file (JSON): requests that are passed on to services of your own, see docs/en/route-file.md. Read again on SIGHUP.',
  ),
  GATEWAY_ASSERTION_KEY: Joi.string()
    .meta({ secret: true })
    .when('GATEWAY_ROUTES_FILE', { is: Joi.exist(), then: Joi.required() })
    .description(
      'Ed25519 private key (PKCS #8 PEM) that signs for whom a request is passed on. Needed with a route file.',
    ),
});

type Optional = 'ALLOWED_ORIGINS' | 'RATE_LIMIT_ROUTES';

/** Reads the environment; throws a `ConfigError` that lists every problem at once. */
export function readGatewayConfig(env: Environment): GatewayConfig {
  const config = loadConfig<Omit<GatewayConfig, Optional> & Partial<Pick<GatewayConfig, Optional>>>({
    service: 'gateway',
    schema: gatewayEnv,
    env,
    prefixes: [
      'RATE_LIMIT_',
      'TRUSTED_',
      'ALLOWED_',
      'TOKEN_',
      'REDIS_',
      'HTTP_MAX_',
      'DRAIN_',
      'API_',
      'METRICS_',
      'TRACE_',
      'GATEWAY_SPOOL_',
      // Not GATEWAY_ alone: a cluster puts variables of that name beside a service called gateway.
      'GATEWAY_ROUTE',
      'GATEWAY_ASSERTION',
    ],
  });
  return {
    ...config,
    ALLOWED_ORIGINS: config.ALLOWED_ORIGINS ?? [],
    RATE_LIMIT_ROUTES: config.RATE_LIMIT_ROUTES ?? {},
  };
}

/** The key that signs assertions, if there is one. Throws a `ConfigError` for anything but an Ed25519 private key. */
export function assertionKey({
  GATEWAY_ASSERTION_KEY: secret,
}: Pick<GatewayConfig, 'GATEWAY_ASSERTION_KEY'>): KeyObject | undefined {
  if (secret === undefined) return undefined;
  let key: KeyObject | undefined;
  try {
    key = createPrivateKey(secret.reveal().replaceAll('\\n', '\n'));
  } catch {
    // The parser's message may quote the key.
  }
  if (key?.asymmetricKeyType !== 'ed25519')
    throw new ConfigError('gateway', ['GATEWAY_ASSERTION_KEY must be an Ed25519 private key in PKCS #8 PEM']);
  return key;
}

function isOrigin(text: string): boolean {
  return /^https?:\/\/[a-z0-9.[\]:-]+$/.test(text) && URL.canParse(text) && new URL(text).origin === text;
}
