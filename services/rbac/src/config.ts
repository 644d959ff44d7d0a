import { loadConfig, type Environment } from '@prime-nest/kit/config';
import {
  type BaseEnv,
  type DatabaseEnv,
  type LogEnv,
  type NatsEnv,
  baseKeys,
  databaseKeys,
  logKeys,
  natsKeys,
} from '@prime-nest/kit/config-keys';
import Joi from 'joi';
import { leaseMsMax } from './policy/guarantee.js';

export interface RbacEnv extends BaseEnv, NatsEnv, LogEnv {
  readonly RBAC_POLICY_FILE?: string;
  readonly RBAC_LEASE_MS: number;
  readonly RBAC_HEARTBEAT_MS: number;
}
export type RbacConfig = RbacEnv & DatabaseEnv<'RBAC'>;

const policyFile = Joi.string().description(
  'JSON file, or a directory of them, with features, permissions, roles and grants of your own, which the seed adds to the built-in ones.',
);

export const rbacEnv = Joi.object({
  ...baseKeys,
  ...natsKeys,
  ...databaseKeys('RBAC'),
  ...logKeys,
  RBAC_POLICY_FILE: policyFile,
  RBAC_LEASE_MS: Joi.number()
    .integer()
    .min(200)
    .max(leaseMsMax)
    .default(2_000)
    .unit('milliseconds')
    .description('How long a replica may decide without asking; a mutation waits at most this long for a dead one.'),
  RBAC_HEARTBEAT_MS: Joi.number()
    .integer()
    .min(20)
    .max(1_000)
    .less(Joi.ref('RBAC_LEASE_MS', { adjust: (leaseMs: number) => leaseMs / 2 }))
    .default(400)
    .unit('milliseconds')
    .description('How often a replica renews its lease; less than half of RBAC_LEASE_MS, so that one may be lost.'),
});

const prefixes = ['RBAC_'];

export function readRbacConfig(env: Environment): RbacConfig {
  return loadConfig<RbacConfig>({ service: 'rbac', schema: rbacEnv, env, prefixes });
}

/** Keys of the entry points that only talk to the database: the others may be absent. */
const storageEnv = Joi.object({ ...baseKeys, ...databaseKeys('RBAC'), RBAC_POLICY_FILE: policyFile });
export type RbacStorageConfig = BaseEnv & DatabaseEnv<'RBAC'> & { readonly RBAC_POLICY_FILE?: string };

/** The part of the configuration that `migrate` and `seed` need. Variables of the rest of the service are accepted. */
export function readRbacStorageConfig(env: Environment): RbacStorageConfig {
  const own = Object.fromEntries(
    Object.entries(env).filter(
      ([name]) =>
        !name.startsWith('NATS_') && !name.startsWith('AUDIT_PUBLIC_KEY') && !/^RBAC_(LEASE|HEARTBEAT)_MS$/.test(name),
    ),
  );
  return loadConfig<RbacStorageConfig>({ service: 'rbac', schema: storageEnv, env: own, prefixes });
}
