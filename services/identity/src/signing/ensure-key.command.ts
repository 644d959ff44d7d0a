import { createPrivateKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import type { CallContext } from '@prime-nest/contracts/context';
import type { Clock } from '@prime-nest/kit/clock';
import type { Database, Tx } from '@prime-nest/kit/database';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import type { Envelope } from './envelope.js';
import { publicKeyOf } from './key-ring.js';
import { findKey, insertKey, listLiveKeys, lockKeys } from './key.store.js';
import { sealContext } from './signing-keys.js';

export interface KeyParts {
  readonly database: Database;
  readonly envelope: Envelope;
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly generateKey: () => Promise<KeyObject>;
}

/**
 * Makes sure that there is a key to sign with. A given key that was never seen before becomes the active one if there
 * is none, and the next one otherwise; one that has been retired or declared compromised stays that. Without a given
 * key one is generated, once, whichever replica comes first.
 */
export async function ensureSigningKey(
  parts: KeyParts,
  privatePem: string | undefined,
  context: CallContext,
): Promise<void> {
  if (privatePem !== undefined) return importKey(parts, createPrivateKey(privatePem), context);
  const rows = await listLiveKeys(parts.database);
  if (rows.some(({ state }) => state === 'active')) return;
  const generated = await parts.generateKey();
  await parts.database.transaction(async (tx) => {
    await lockKeys(tx);
    // Another replica may have been faster; its key is as good.
    if ((await listLiveKeys(tx)).some(({ state }) => state === 'active')) return;
    await addKey(tx, parts, { privateKey: generated, origin: 'generated', state: 'active', context });
  });
}

async function importKey(parts: KeyParts, privateKey: KeyObject, context: CallContext): Promise<void> {
  const { kid } = publicKeyOf(privateKey);
  await parts.database.transaction(async (tx) => {
    await lockKeys(tx);
    if ((await findKey(tx, kid)) !== undefined) return;
    const rows = await listLiveKeys(tx);
    // One successor at a time: a new key waits for the next start when another is already announced.
    if (rows.some(({ state }) => state === 'pending')) return;
    const state = rows.some((row) => row.state === 'active') ? 'pending' : 'active';
    await addKey(tx, parts, { privateKey, origin: 'imported', state, context });
  });
}

export interface AddedKey {
  readonly privateKey: KeyObject;
  readonly origin: 'imported' | 'generated';
  readonly state: 'pending' | 'active';
  readonly context: CallContext;
}

/** Stores a key, sealed, and records it. Keys must be held by `lockKeys`. */
export async function addKey(tx: Tx, { envelope, outbox, clock }: KeyParts, added: AddedKey): Promise<string> {
  const { privateKey, origin, state, context } = added;
  const publicKey = publicKeyOf(privateKey);
  const { kid } = publicKey;
  const sealedPrivateKey = envelope.seal(privateKey.export({ format: 'der', type: 'pkcs8' }), sealContext(kid));
  await insertKey(tx, { publicKey, sealedPrivateKey, origin, state, now: clock() });
  await outbox.append(
    tx,
    { type: 'identity.key.created.v1', resourceId: kid, change: { after: { state, origin } } },
    context,
  );
  if (state === 'active') await outbox.append(tx, { type: 'identity.key.activated.v1', resourceId: kid }, context);
  return kid;
}

/** A new RSA key; it takes a second or more of another thread. */
export async function generateRsaKey(modulusLength: number): Promise<KeyObject> {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength });
  return privateKey;
}
