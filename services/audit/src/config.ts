import { loadConfig } from '@prime-nest/kit/config';
import type { Environment } from '@prime-nest/kit/config';
import { baseKeys, databaseKeys, natsKeys } from '@prime-nest/kit/config-keys';
import type { BaseEnv, DatabaseEnv, NatsEnv } from '@prime-nest/kit/config-keys';
import Joi from 'joi';

export type AuditConfig = BaseEnv & NatsEnv & DatabaseEnv<'AUDIT'>;

export const auditEnv = Joi.object({
  ...baseKeys,
  ...natsKeys,
  ...databaseKeys('AUDIT'),
});

/** The configuration of the audit service, or every problem with it at once. */
export function readAuditConfig(env: Environment): AuditConfig {
  return loadConfig<AuditConfig>({ service: 'audit', schema: auditEnv, env, prefixes: ['AUDIT_'] });
}
