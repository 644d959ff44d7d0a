import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { ConfigError, describeEnv, loadConfig } from '@prime-nest/kit/config';
import type { Environment } from '@prime-nest/kit/config';
import { baseKeys, databaseKeys, natsKeys } from '@prime-nest/kit/config-keys';
import type { BaseEnv, DatabaseEnv, NatsEnv } from '@prime-nest/kit/config-keys';
import type { Secret } from '@prime-nest/kit/secret';
import Joi from 'joi';

export type AuditConfig = BaseEnv &
  NatsEnv &
  DatabaseEnv<'AUDIT'> & {
    readonly AUDIT_SIGNING_KEY?: Secret;
    readonly AUDIT_LOG_ORIGIN: string;
    readonly AUDIT_SIGNED_STATE_FILE?: string;
    readonly AUDIT_CHECKPOINT_INTERVAL_MS: number;
    readonly AUDIT_CHECK_INTERVAL_SECONDS: number;
  };

export const auditEnv = Joi.object({
  ...baseKeys,
  ...natsKeys,
  ...databaseKeys('AUDIT'),
  AUDIT_SIGNING_KEY: Joi.string()
    .when('NODE_ENV', { is: 'production', then: Joi.required() })
    .meta({ secret: true })
    .description(
      'Ed25519 private key (PKCS #8 PEM) that signs checkpoints of the log. Outside production one is made up at each start.',
    ),
  AUDIT_LOG_ORIGIN: Joi.string()
    .pattern(/^[^\s+]{1,100}$/)
    .default('prime-nest/audit')
    .description(
      'Name of the log in its checkpoints: one that no other log has. Changing it means a new log to whoever checks it.',
    ),
  AUDIT_SIGNED_STATE_FILE: Joi.string().description(
    'File outside the database that remembers the last checkpoint, so that a database restored to an earlier state is never signed.',
  ),
  AUDIT_CHECKPOINT_INTERVAL_MS: Joi.number()
    .integer()
    .min(50)
    .max(60_000)
    .default(500)
    .unit('milliseconds')
    .description('Least time between two checkpoints.'),
  AUDIT_CHECK_INTERVAL_SECONDS: Joi.number()
    .integer()
    .min(1)
    .max(604_800)
    .default(43_200)
    .unit('seconds')
    .description('Rest between two checks of the whole stored log.'),
});

/** The configuration of the audit service, or every problem with it at once. */
export function readAuditConfig(env: Environment): AuditConfig {
  return loadConfig<AuditConfig>({ service: 'audit', schema: auditEnv, env, prefixes: ['AUDIT_'] });
}

const storageEnv = Joi.object({ ...baseKeys, ...databaseKeys('AUDIT') });
export type AuditStorageConfig = BaseEnv & DatabaseEnv<'AUDIT'>;

/**
 * The part of the configuration that `migrate` and `retention` need. Variables of the rest of the service are accepted
 * and not read: who changes tables needs neither the bus nor the signing key.
 */
export function readStorageConfig(env: Environment): AuditStorageConfig {
  const needed = new Set(describeEnv(storageEnv).map(({ name }) => name));
  const others = describeEnv(auditEnv).flatMap(({ name }) => (needed.has(name) ? [] : [name, `${name}_FILE`]));
  const own = Object.fromEntries(Object.entries(env).filter(([name]) => !others.includes(name)));
  return loadConfig<AuditStorageConfig>({ service: 'audit', schema: storageEnv, env: own, prefixes: ['AUDIT_'] });
}

/**
 * The key that signs checkpoints. Without a configured one, which production refuses, a key that lives as long as the
 * process. Throws a {@link ConfigError} for anything but an Ed25519 private key.
 */
export function signingKey({ AUDIT_SIGNING_KEY: secret }: AuditConfig): KeyObject {
  if (secret === undefined) return generateKeyPairSync('ed25519').privateKey;
  let key: KeyObject | undefined;
  try {
    key = createPrivateKey(secret.reveal().replaceAll('\\n', '\n'));
  } catch {
    // The parser's message may quote the key.
  }
  if (key?.asymmetricKeyType !== 'ed25519')
    throw new ConfigError('audit', ['AUDIT_SIGNING_KEY must be an Ed25519 private key in PKCS #8 PEM']);
  return key;
}
