import { nkeys } from '@nats-io/transport-node';
import Joi from 'joi';
import type { Secret } from './secret.js';
import { readPublicKeys } from './tlog/public-key.js';

/** Schema pieces that services spread into their own `Joi.object({ ... })`, and the types they arrive as. */

export interface BaseEnv {
  readonly NODE_ENV: 'development' | 'test' | 'production';
  readonly LOG_LEVEL: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  readonly LOG_PRETTY: boolean;
  readonly SHUTDOWN_TIMEOUT_MS: number;
  readonly HEALTH_HOST: string;
  readonly HEALTH_PORT: number;
  readonly OTEL_ENABLED: boolean;
  readonly OTEL_TRACES_PER_SECOND_MAX?: number;
}

export const baseKeys = {
  NODE_ENV: Joi.string()
    .valid('development', 'test', 'production')
    .default('production')
    .description('`production` turns on the strict rules below; it is the default so that forgetting it is safe.'),
  LOG_LEVEL: Joi.string()
    .valid('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent')
    .default('info')
    .description('The least severe level that is written.'),
  LOG_PRETTY: Joi.boolean().default(false).description('One readable line per entry instead of JSON.'),
  SHUTDOWN_TIMEOUT_MS: Joi.number()
    .integer()
    .min(100)
    .max(300_000)
    .default(10_000)
    .unit('milliseconds')
    .description('How long a stopping process may finish what it has begun.'),
  HEALTH_HOST: Joi.string().default('0.0.0.0').description('Address of the health and metrics endpoints.'),
  HEALTH_PORT: Joi.number()
    .integer()
    .min(0)
    .max(65_535)
    .default(8080)
    .description('Port of the health and metrics endpoints; 0 takes any.'),
  OTEL_ENABLED: Joi.boolean()
    .default(false)
    .description('Exports traces (OTLP over HTTP); the standard OTEL_* variables configure where to and how many.'),
  OTEL_TRACES_PER_SECOND_MAX: Joi.number()
    .min(0.1)
    .max(100_000)
    .unit('traces per second')
    .description('Records at most so many new traces, in place of OTEL_TRACES_SAMPLER.'),
};

export interface NatsEnv {
  readonly NATS_URL: string;
  readonly NATS_NKEY_SEED?: Secret;
  readonly NATS_ALLOW_PLAINTEXT?: boolean;
  readonly NATS_TLS_CA_FILE?: string;
  readonly NATS_TLS_CERT_FILE?: string;
  readonly NATS_TLS_KEY_FILE?: string;
}

const inProduction = { is: 'production', then: Joi.required() } as const;

/**
 * A rule of production that only the variable `exception`, set to true, takes back: a connection without TLS has to be
 * asked for by name. `exception` has to stand before what depends on it.
 */
export function inProductionUnless(exception: string, rule: Joi.Schema) {
  return { is: 'production', then: Joi.any().when(exception, { is: true, otherwise: rule }) } as const;
}

/** The exception itself. `what` is the server that is then spoken to in the clear. */
export function plaintextKey(what: string): Joi.BooleanSchema {
  return Joi.boolean()
    .default(false)
    .description(`Lets production speak to ${what} without TLS: for a link that something else encrypts.`);
}

/** Names, because the client compares the certificate of an address that is a number with `localhost`. */
const encryptedServers = /^(tls:\/\/([\w-]+\.)*[a-z][\w-]*\.?(:\d+)?(,|$))+$/i;

export const natsKeys = {
  NATS_ALLOW_PLAINTEXT: plaintextKey('NATS'),
  NATS_URL: Joi.string()
    .pattern(/^((nats|tls):\/\/[^\s,]+)(,(nats|tls):\/\/[^\s,]+)*$/)
    .required()
    .when(
      'NODE_ENV',
      inProductionUnless(
        'NATS_ALLOW_PLAINTEXT',
        Joi.string().pattern(encryptedServers, 'tls:// and host names only, unless NATS_ALLOW_PLAINTEXT is set'),
      ),
    )
    .description('NATS servers: one `nats://` or `tls://` address, or several with commas.'),
  NATS_NKEY_SEED: Joi.string()
    .custom((seed: string, tools) => (isUserSeed(seed) ? seed : tools.error('any.custom')))
    .when('NODE_ENV', inProduction)
    .meta({ secret: true })
    .description("Seed (`SU…`) of the service's own nkey; NATS knows the public half."),
  NATS_TLS_CA_FILE: Joi.string().description(
    'PEM file of the authority that signed the certificate of NATS, if no public one did; switches TLS on.',
  ),
  NATS_TLS_CERT_FILE: Joi.string().description('PEM file of a client certificate for NATS, if it asks for one.'),
  NATS_TLS_KEY_FILE: Joi.string().description('PEM file of the key of NATS_TLS_CERT_FILE.'),
};

function isUserSeed(seed: string): boolean {
  try {
    return nkeys.fromSeed(new TextEncoder().encode(seed)).getPublicKey().startsWith('U');
  } catch {
    return false;
  }
}

export interface LogEnv {
  readonly AUDIT_PUBLIC_KEY?: Secret;
}

/** Keys of a service that forgets its events only when the audit log has proven them. */
export const logKeys = {
  AUDIT_PUBLIC_KEY: Joi.string()
    .custom((pem: string, helpers: Joi.CustomHelpers<string>) => {
      try {
        readPublicKeys(pem);
        return pem;
      } catch {
        return helpers.message({ custom: '{{#label}} must be an Ed25519 public key in PEM, or several' });
      }
    })
    .when('NODE_ENV', inProduction)
    .meta({ secret: true })
    .description(
      'Public half (PEM, SPKI) of the key that signs the audit log, or several while it changes. Events are forgotten here only when the signed log proves to have them; without the key, which production refuses, when the audit service says so.',
    ),
};

export type DatabaseEnv<P extends string> = { readonly [K in `${P}_DB_URL`]: Secret } & {
  readonly [K in `${P}_DB_MIGRATION_URL`]?: Secret;
} & { readonly [K in `${P}_DB_MIGRATE_ON_START`]: boolean } & {
  readonly DB_SSL: boolean;
  readonly DB_ALLOW_PLAINTEXT: boolean;
  readonly DB_SSL_CA_FILE?: string;
  readonly DB_POOL_MAX: number;
};

const databaseRule = Object.fromEntries(
  ['any.only', 'any.required'].map((code) => [code, '{{#label}} has to be on, unless DB_ALLOW_PLAINTEXT is']),
);

/** Keys of a service's own database; `prefix` in capitals without the underscore, such as `BILLING`. */
export function databaseKeys<P extends string>(prefix: P) {
  const url = Joi.string()
    .pattern(/^postgres(ql)?:\/\/\S+$/)
    .meta({ secret: true });
  const keys = {
    [`${prefix}_DB_URL`]: url.required().description('PostgreSQL address with the login role of the service.'),
    [`${prefix}_DB_MIGRATION_URL`]: url.description(
      'The same database with the owner of the schema; only migrations use it.',
    ),
    [`${prefix}_DB_MIGRATE_ON_START`]: Joi.boolean().default(false).description('Applies migrations before serving.'),
    DB_ALLOW_PLAINTEXT: plaintextKey('PostgreSQL'),
    DB_SSL: Joi.boolean()
      .default(false)
      .when('NODE_ENV', inProductionUnless('DB_ALLOW_PLAINTEXT', Joi.valid(true).required().messages(databaseRule)))
      .description('TLS to PostgreSQL, with verification of its certificate.'),
    DB_SSL_CA_FILE: Joi.string().description('PEM file of the authority that signed the certificate of PostgreSQL.'),
    DB_POOL_MAX: Joi.number().integer().min(2).max(200).default(10).description('Most connections one process opens.'),
  };
  return keys as Record<string, Joi.Schema>;
}
