import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { Email } from '@prime-nest/contracts/identity';
import { loadConfig, type Environment } from '@prime-nest/kit/config';
import {
  baseKeys,
  databaseKeys,
  logKeys,
  natsKeys,
  type BaseEnv,
  type DatabaseEnv,
  type LogEnv,
  type NatsEnv,
} from '@prime-nest/kit/config-keys';
import type { Secret } from '@prime-nest/kit/secret';
import Joi from 'joi';

const modulusBitsMin = 2048;

/** A PEM text as it comes out of an environment variable, where line breaks are often written `\n`. */
export function pemText(value: string): string {
  return value.replaceAll('\\n', '\n').trim();
}

function rsaKey(read: (pem: string) => KeyObject) {
  return (value: string, helpers: Joi.CustomHelpers<string>) => {
    let key: KeyObject;
    try {
      key = read(pemText(value));
    } catch {
      return helpers.message({ custom: '{{#label}} is not a PEM key of the required kind' });
    }
    const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
    if (key.asymmetricKeyType !== 'rsa' || bits < modulusBitsMin) {
      return helpers.message({ custom: `{{#label}} must be an RSA key of at least ${modulusBitsMin} bits` });
    }
    return value;
  };
}

/** Node derives the public half of a private key that stands where the public one belongs; such a mix-up is refused. */
function readPublicKey(pem: string): KeyObject {
  if (pem.includes('PRIVATE KEY')) throw new TypeError('a private key');
  return createPublicKey(pem);
}

const inProduction = { is: 'production', then: Joi.required() } as const;
const seconds = (min: number, max: number) => Joi.number().integer().min(min).max(max).unit('seconds');

/** Every variable of the service, and of its `migrate` and `seed`. */
export const identityEnv = Joi.object({
  ...baseKeys,
  ...natsKeys,
  ...databaseKeys('IDENTITY'),
  ...logKeys,
  PRIVATE_KEY: Joi.string()
    .custom(rsaKey((pem) => createPrivateKey(pem)))
    .when('NODE_ENV', inProduction)
    .meta({ secret: true })
    .description(
      'RSA private key (PEM, PKCS #8) that access tokens are first signed with; made at the first start outside production.',
    ),
  PUBLIC_KEY: Joi.string()
    .custom(rsaKey(readPublicKey))
    .when('NODE_ENV', inProduction)
    .meta({ secret: true })
    .description('The public half of PRIVATE_KEY (PEM, SPKI).'),
  IDENTITY_KEY_ENCRYPTION_KEY: Joi.string()
    .pattern(/^[A-Za-z0-9+/]{43}=$/)
    .required()
    .meta({ secret: true })
    .description('32 random bytes in base64: encrypts signing keys and session keys at rest.'),
  IDENTITY_KEY_ENCRYPTION_KEY_PREVIOUS: Joi.string()
    .pattern(/^[A-Za-z0-9+/]{43}=$/)
    .meta({ secret: true })
    .description(
      'Another key that stored rows may be encrypted with. They are encrypted anew at the start, after which it can be left out.',
    ),
  TOKEN_ISSUER: Joi.string().max(256).default('prime-nest').description('Claim `iss` of access tokens.'),
  TOKEN_AUDIENCE: Joi.string().max(256).default('prime-nest').description('Claim `aud` of access tokens.'),
  ACCESS_TOKEN_TTL_SECONDS: seconds(1, 3600).default(900).description('Life of an access token.'),
  REFRESH_TOKEN_TTL_SECONDS: seconds(1, 90 * 86_400)
    .default(7 * 86_400)
    .description('A session unused for so long ends.'),
  SESSION_ABSOLUTE_TTL_SECONDS: seconds(1, 365 * 86_400)
    .default(30 * 86_400)
    .description('A session ends after so long, used or not.'),
  REFRESH_REUSE_WINDOW_SECONDS: seconds(0, 60)
    .default(0)
    .description('How long a superseded refresh token still gets the same successor; 0 treats every reuse as theft.'),
  IDENTITY_SESSIONS_PER_ACCOUNT_MAX: Joi.number()
    .integer()
    .min(1)
    .max(10_000)
    .default(100)
    .description('Live sessions of one account; one more ends the least recently used.'),
  LOCKOUT_MAX_ATTEMPTS: Joi.number()
    .integer()
    .min(1)
    .max(1_000_000)
    .default(5)
    .description('Failed sign-ins that lock.'),
  LOCKOUT_SECONDS: seconds(1, 7 * 86_400)
    .default(900)
    .description('Length of a first lock, and of the window in which failures add up.'),
  LOCKOUT_SOURCE_MAX_ATTEMPTS: Joi.number()
    .integer()
    .min(1)
    .max(100_000_000)
    .description('Failed sign-ins from one address that lock it; 40 times LOCKOUT_MAX_ATTEMPTS unless given.'),
  IDENTITY_KEY_BITS: Joi.number()
    .valid(2048, 3072, 4096)
    .default(3072)
    .description(
      'Size of the RSA keys that are generated for signing; 2048 signs three times as fast, see decision 13.',
    ),
  IDENTITY_KEY_LEAD_SECONDS: seconds(1, 86_400)
    .default(600)
    .description(
      'How long a new signing key is published before it signs; at least twice the caching time of the JWKS.',
    ),
  IDENTITY_KEY_ROTATION_DAYS: Joi.number()
    .min(0)
    .max(3650)
    .default(0)
    .unit('days')
    .description('Age at which the signing key is replaced by a generated one; 0 rotates by command only.'),
  IDENTITY_HASH_THREADS: Joi.number()
    .integer()
    .min(1)
    .max(64)
    .description('Threads that hash passwords; the number of cores unless given.'),
  IDENTITY_HASH_QUEUE_MAX: Joi.number()
    .integer()
    .min(1)
    .max(10_000)
    .default(64)
    .description('Sign-ins that may wait for a hashing thread; more are answered 503 at once.'),
  ADMIN_EMAIL: Joi.string()
    .custom((value: string, helpers) =>
      Email.safeParse(value).success ? value : helpers.message({ custom: '{{#label}} is not an e-mail address' }),
    )
    .description('E-mail address of the first administrator, for the seed.'),
  ADMIN_PASSWORD: Joi.string().meta({ secret: true }).description('Password of the first administrator, for the seed.'),
})
  .and('PRIVATE_KEY', 'PUBLIC_KEY')
  .custom((value: Record<string, unknown>, helpers) =>
    areOnePair(value['PRIVATE_KEY'], value['PUBLIC_KEY'])
      ? value
      : helpers.message({ custom: 'PUBLIC_KEY does not belong to PRIVATE_KEY' }),
  )
  .messages({ 'object.and': 'PRIVATE_KEY and PUBLIC_KEY are set together or not at all' });

export type IdentityConfig = BaseEnv &
  NatsEnv &
  LogEnv &
  DatabaseEnv<'IDENTITY'> & {
    readonly PRIVATE_KEY?: Secret;
    readonly PUBLIC_KEY?: Secret;
    readonly IDENTITY_KEY_ENCRYPTION_KEY: Secret;
    readonly IDENTITY_KEY_ENCRYPTION_KEY_PREVIOUS?: Secret;
    readonly TOKEN_ISSUER: string;
    readonly TOKEN_AUDIENCE: string;
    readonly ACCESS_TOKEN_TTL_SECONDS: number;
    readonly REFRESH_TOKEN_TTL_SECONDS: number;
    readonly SESSION_ABSOLUTE_TTL_SECONDS: number;
    readonly REFRESH_REUSE_WINDOW_SECONDS: number;
    readonly IDENTITY_SESSIONS_PER_ACCOUNT_MAX: number;
    readonly LOCKOUT_MAX_ATTEMPTS: number;
    readonly LOCKOUT_SECONDS: number;
    readonly LOCKOUT_SOURCE_MAX_ATTEMPTS?: number;
    readonly IDENTITY_KEY_BITS: number;
    readonly IDENTITY_KEY_LEAD_SECONDS: number;
    readonly IDENTITY_KEY_ROTATION_DAYS: number;
    readonly IDENTITY_HASH_THREADS?: number;
    readonly IDENTITY_HASH_QUEUE_MAX: number;
    readonly ADMIN_EMAIL?: string;
    readonly ADMIN_PASSWORD?: Secret;
  };

export type IdentityStorageConfig = Omit<
  IdentityConfig,
  keyof NatsEnv | 'PRIVATE_KEY' | 'PUBLIC_KEY' | 'IDENTITY_KEY_ENCRYPTION_KEY' | 'IDENTITY_KEY_ENCRYPTION_KEY_PREVIOUS'
>;

const prefixes = [
  'IDENTITY_',
  'LOCKOUT_',
  'TOKEN_',
  'ACCESS_TOKEN_',
  'REFRESH_',
  'SESSION_ABSOLUTE_',
  'ADMIN_',
  'PRIVATE_KEY',
  'PUBLIC_KEY',
];

const unneeded = ['NATS_URL'];
const unneededSecrets = [
  'NATS_NKEY_SEED',
  'PRIVATE_KEY',
  'PUBLIC_KEY',
  'IDENTITY_KEY_ENCRYPTION_KEY',
  'IDENTITY_KEY_ENCRYPTION_KEY_PREVIOUS',
  'AUDIT_PUBLIC_KEY',
];

/** For what touches the database only (`migrate`, `seed`): the same variables, without demanding bus and keys. */
const storageEnv = identityEnv
  .fork(unneeded, () => Joi.any())
  .fork(unneededSecrets, () => Joi.any().meta({ secret: true }));

/** What `migrate` and `seed` read. Throws a ConfigError like {@link readIdentityConfig}. */
export function readIdentityStorageConfig(env: Environment): IdentityStorageConfig {
  return loadConfig<IdentityStorageConfig>({ service: 'identity', schema: storageEnv, env, prefixes });
}

/** The service's configuration, checked and frozen. Throws a ConfigError that lists every problem and no value. */
export function readIdentityConfig(env: Environment): IdentityConfig {
  return loadConfig<IdentityConfig>({ service: 'identity', schema: identityEnv, env, prefixes });
}

function areOnePair(privatePem: unknown, publicPem: unknown): boolean {
  if (typeof privatePem !== 'string' || typeof publicPem !== 'string') return true;
  try {
    const derived = createPublicKey(createPrivateKey(pemText(privatePem)));
    return derived.equals(createPublicKey(pemText(publicPem)));
  } catch {
    // Each key's own rule has said what is wrong with it.
    return true;
  }
}
