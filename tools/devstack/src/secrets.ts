import { createPublicKey, generateKeyPair, generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { rolePasswords } from './bootstrap.js';
import type { RolePasswords } from './bootstrap.js';
import { makeFolder } from './folders.js';
import type { Env } from './folders.js';
import { perBusUser } from './nats-config.js';
import { newBusSeeds, newSeed, publicKeyOf } from './nats-keys.js';
import type { BusSeeds } from './nats-keys.js';
import { upstreamsOverNats } from './upstreams.js';

/** Everything secret of one local system, made on its first start and kept beside its data. */
export interface Secrets {
  readonly database: RolePasswords;
  /** Seeds of the users of the bus. */
  readonly nats: BusSeeds;
  /** Public keys of the upstreams that answer over NATS; the seed of each is in `secrets/nkey-seed-<name>`. */
  readonly upstreams: Readonly<Record<string, string>>;
  readonly redis: string;
  readonly adminEmail: string;
  readonly privateKeyFile: string;
  readonly publicKeyFile: string;
  readonly keyEncryptionKeyFile: string;
  readonly auditSigningKeyFile: string;
  readonly auditPublicKeyFile: string;
  readonly assertionKeyFile: string;
  /** What the audit log's signer remembers outside the database. */
  readonly auditSignedStateFile: string;
  readonly adminPasswordFile: string;
  /** A generated password, on the very first start only: the moment to show it. */
  readonly newAdminPassword?: string;
}

interface KeptSecrets {
  readonly database: RolePasswords;
  readonly redis: string;
  readonly adminEmail: string;
}

/** Reads the secrets of `home`, or makes them; every file is readable by us only. */
export async function loadSecrets(home: string, env: Env): Promise<Secrets> {
  const folder = await makeFolder(path.join(home, 'secrets'), 0o700);
  const files = {
    privateKeyFile: path.join(folder, 'private.pem'),
    publicKeyFile: path.join(folder, 'public.pem'),
    keyEncryptionKeyFile: path.join(folder, 'key-encryption-key'),
    auditSigningKeyFile: path.join(folder, 'audit-signing-key.pem'),
    auditPublicKeyFile: path.join(folder, 'audit-public-key.pem'),
    assertionKeyFile: path.join(folder, 'assertion-key.pem'),
    auditSignedStateFile: path.join(home, 'audit-signed-checkpoint'),
    adminPasswordFile: path.join(home, 'admin-password'),
  };
  await keep(files.keyEncryptionKeyFile, () => randomBytes(32).toString('base64'));
  const signing = await keep(files.auditSigningKeyFile, newSigningKey);
  const publicKey = createPublicKey(signing.text).export({ type: 'spki', format: 'pem' });
  await writeFile(files.auditPublicKeyFile, publicKey, { mode: 0o600 });
  await keep(files.assertionKeyFile, newSigningKey);
  const upstreams: Record<string, string> = {};
  for (const name of await upstreamsOverNats(env)) {
    const { text } = await keep(path.join(folder, `nkey-seed-${name}`), newSeed);
    upstreams[name] = publicKeyOf(text);
  }
  if ((await read(files.publicKeyFile)) === undefined) await writeKeyPair(files);
  const kept = await keep(path.join(folder, 'passwords.json'), () => JSON.stringify(newPasswords(env), null, 2));
  const seeds = await keep(path.join(folder, 'bus-seeds.json'), () => JSON.stringify(newBusSeeds(), null, 2));
  const given = await givenPassword(env);
  const administrator = await keep(files.adminPasswordFile, () => given ?? randomBytes(15).toString('base64url'));
  const isNew = administrator.isNew && given === undefined;
  const passwords = JSON.parse(kept.text) as KeptSecrets;
  const ownSeeds = JSON.parse(seeds.text) as BusSeeds;
  // Somebody else's NATS server (NATS_URL) knows other keys.
  const nats = perBusUser((user) => env[`NATS_${user.toUpperCase()}_NKEY_SEED`] ?? ownSeeds[user]);
  return { ...passwords, nats, upstreams, ...files, ...(isNew ? { newAdminPassword: administrator.text } : {}) };
}

function newPasswords(env: Env): KeptSecrets {
  const password = (): string => `p${randomBytes(20).toString('hex')}`;
  return {
    database: rolePasswords(password),
    redis: password(),
    adminEmail: env['ADMIN_EMAIL'] ?? 'admin@prime-nest.local',
  };
}

async function givenPassword(env: Env): Promise<string | undefined> {
  const file = env['ADMIN_PASSWORD_FILE'];
  return file === undefined ? env['ADMIN_PASSWORD'] : (await readFile(file, 'utf8')).trim();
}

export interface KeyFiles {
  readonly privateKeyFile: string;
  readonly publicKeyFile: string;
}

/** A pair for RS256 (RSA, 3072 bits): PKCS #8 and SPKI, PEM. Existing files are never overwritten. */
export async function writeKeyPair({ privateKeyFile, publicKeyFile }: KeyFiles): Promise<void> {
  const { privateKey, publicKey } = await newKeyPair();
  await writeFile(privateKeyFile, privateKey, { mode: 0o600, flag: 'wx' });
  await writeFile(publicKeyFile, publicKey, { mode: 0o600, flag: 'wx' });
}

export function newKeyPair(): Promise<{ privateKey: string; publicKey: string }> {
  return promisify(generateKeyPair)('rsa', {
    modulusLength: 3072,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
}

/** Ed25519, PKCS #8 PEM. */
function newSigningKey(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

async function keep(file: string, make: () => string | Promise<string>): Promise<{ text: string; isNew: boolean }> {
  const kept = await read(file);
  if (kept !== undefined) return { text: kept, isNew: false };
  const text = await make();
  await writeFile(file, text, { mode: 0o600 });
  return { text, isNew: true };
}

async function read(file: string): Promise<string | undefined> {
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
}
