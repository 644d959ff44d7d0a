import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ServiceUrls } from './bootstrap.js';
import { repositoryRoot } from './folders.js';
import type { Env } from './folders.js';
import type { DatabaseService } from './roles-sql.js';
import type { Secrets } from './secrets.js';

export const serviceNames = ['gateway', 'identity', 'rbac', 'audit'] as const;
export type ServiceName = (typeof serviceNames)[number];

/** The servers of a system, as its services are told about them. */
export interface Surroundings {
  /** The system's folder. */
  readonly home: string;
  readonly natsUrl: string;
  readonly redisUrl: string;
  readonly databases: Readonly<Record<DatabaseService, ServiceUrls>>;
}

const everywhere = ['LOG_LEVEL', 'SHUTDOWN_TIMEOUT_MS', 'OTEL_'];
const tokens = ['TOKEN_ISSUER', 'TOKEN_AUDIENCE'];

/**
 * What reaches a service from the launcher's own environment, by prefix, so that a misspelt variable still reaches
 * the service that complains about it. A service sees nothing else: the gateway learns neither a database address
 * nor a key that signs tokens or the log.
 */
const inherited: Readonly<Record<ServiceName, readonly string[]>> = {
  gateway: [
    ...tokens,
    'API_PREFIX',
    'ALLOWED_ORIGINS',
    'RATE_LIMIT_',
    'TRUSTED_PROXY_HOPS',
    'HTTP_MAX_',
    'DRAIN_',
    'TRACE_URL_',
    'GATEWAY_SPOOL_',
    'GATEWAY_ROUTE',
    'GATEWAY_ASSERTION',
    'AUDIT_PUBLIC_KEY',
  ],
  identity: [
    ...tokens,
    'ACCESS_TOKEN_',
    'REFRESH_',
    'SESSION_',
    'LOCKOUT_',
    'IDENTITY_',
    'AUDIT_PUBLIC_KEY',
    'DB_POOL_MAX',
  ],
  rbac: ['RBAC_', 'AUDIT_PUBLIC_KEY', 'DB_POOL_MAX'],
  audit: ['AUDIT_', 'DB_POOL_MAX'],
};

/** The log needs no telling; who believes it does. */
const notForAudit = /^AUDIT_PUBLIC_KEY/;

/** Addresses and roles are the local system's own, whatever the environment says. */
const decidedHere = /_DB_(URL|MIGRATION_URL)(_FILE)?$|^IDENTITY_KEY_ENCRYPTION_KEY/;

/** The environment of one service's processes (`main`, `migrate`), ports excepted. */
export function serviceEnv(service: ServiceName, around: Surroundings, secrets: Secrets, env: Env): Env {
  const prefixes = [...everywhere, ...inherited[service]];
  const chosen = Object.entries(env).filter(
    ([name]) =>
      prefixes.some((prefix) => name.startsWith(prefix)) &&
      !decidedHere.test(name) &&
      !(service === 'audit' && notForAudit.test(name)),
  );
  return {
    PATH: env['PATH'],
    NODE_ENV: 'development',
    ...(service === 'gateway' ? { GATEWAY_SPOOL_DIR: path.join(around.home, 'spool') } : {}),
    ...Object.fromEntries(chosen),
    NATS_URL: around.natsUrl,
    NATS_NKEY_SEED: secrets.nats[service],
    ...(service === 'gateway' ? { REDIS_URL: around.redisUrl } : databaseEnv(service, around.databases[service])),
    ...(service === 'identity' ? keyEnv(secrets) : {}),
    ...(service === 'audit' ? signerEnv(secrets, env) : proofEnv(secrets, env)),
    ...(service === 'gateway' ? assertionEnv(secrets, env) : {}),
  };
}

function databaseEnv(service: DatabaseService, { url, migrationUrl }: ServiceUrls): Env {
  const prefix = service.toUpperCase();
  return { [`${prefix}_DB_URL`]: url, [`${prefix}_DB_MIGRATION_URL`]: migrationUrl };
}

function keyEnv(secrets: Secrets): Env {
  return {
    PRIVATE_KEY_FILE: secrets.privateKeyFile,
    PUBLIC_KEY_FILE: secrets.publicKeyFile,
    IDENTITY_KEY_ENCRYPTION_KEY_FILE: secrets.keyEncryptionKeyFile,
  };
}

/** The log keeps its key over restarts, or whoever kept a checkpoint could check nothing; a key of one's own goes first. */
function signerEnv({ auditSigningKeyFile, auditSignedStateFile }: Secrets, env: Env): Env {
  if (env['AUDIT_SIGNING_KEY'] !== undefined || env['AUDIT_SIGNING_KEY_FILE'] !== undefined) return {};
  const stateFile = env['AUDIT_SIGNED_STATE_FILE'] ?? auditSignedStateFile;
  return { AUDIT_SIGNING_KEY_FILE: auditSigningKeyFile, AUDIT_SIGNED_STATE_FILE: stateFile };
}

/** The public half of the log's key; of a key of one's own only who brought it knows the other half. */
function proofEnv({ auditPublicKeyFile }: Secrets, env: Env): Env {
  const own = ['AUDIT_SIGNING_KEY', 'AUDIT_PUBLIC_KEY'].flatMap((name) => [name, `${name}_FILE`]);
  return own.some((name) => env[name] !== undefined) ? {} : { AUDIT_PUBLIC_KEY_FILE: auditPublicKeyFile };
}

/** A route file needs a key; one's own goes first. */
function assertionEnv({ assertionKeyFile }: Secrets, env: Env): Env {
  if (env['GATEWAY_ROUTES_FILE'] === undefined) return {};
  if (env['GATEWAY_ASSERTION_KEY'] !== undefined || env['GATEWAY_ASSERTION_KEY_FILE'] !== undefined) return {};
  return { GATEWAY_ASSERTION_KEY_FILE: assertionKeyFile };
}

/** The seed also knows the first administrator. */
export function seedEnv(service: ServiceName, base: Env, secrets: Secrets): Env {
  if (service !== 'identity') return base;
  return { ...base, ADMIN_EMAIL: secrets.adminEmail, ADMIN_PASSWORD_FILE: secrets.adminPasswordFile };
}

export interface ServicePorts {
  readonly port: number;
  /** The gateway's metrics must not be on its public port; the others' are where their health is. */
  readonly metricsPort: number;
}

/** Where a service listens. The gateway serves its health on its own port. */
export function portEnv(service: ServiceName, { port, metricsPort }: ServicePorts): Env {
  return service === 'gateway'
    ? { HOST: '127.0.0.1', PORT: String(port), METRICS_HOST: '127.0.0.1', METRICS_PORT: String(metricsPort) }
    : { HEALTH_HOST: '127.0.0.1', HEALTH_PORT: String(port) };
}

/** By its address, not its name: services may be kept outside the repository (DEVSTACK_SERVICES). */
const preload = pathToFileURL(path.join(repositoryRoot, 'libs/kit/dist/telemetry-register.js')).href;

/** How Node is called for one of a service's programs; tracing has to be loaded before the program. */
export function nodeArguments(folder: string, program: 'main' | 'migrate' | 'seed', env: Env): string[] {
  const tracing = env['OTEL_ENABLED'] === 'true' && program === 'main';
  return [
    '--enable-source-maps',
    ...(tracing ? ['--import', preload] : []),
    path.join(folder, 'dist', `${program}.js`),
  ];
}
