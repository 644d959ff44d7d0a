import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';

/** Secrets that leave the process only encrypted. `context` names what is sealed, so that rows cannot be exchanged. */
export interface Envelope {
  seal(plain: Buffer, context: string): Buffer;
  /** Throws when the key is another one, the bytes were changed or the context is not the one it was sealed for. */
  open(sealed: Buffer, context: string): Buffer;
  /** What everything begins with that is sealed under the key-encryption key of today. */
  readonly prefix: Buffer;
  /** A key for one purpose, the same for every replica; from it nothing can be learnt about another. */
  derive(purpose: string): KeyObject;
}

const version = 1;
const keyIdLength = 8;
const nonceLength = 12;
const tagLength = 16;
const headerLength = 1 + keyIdLength;
const bodyStart = headerLength + nonceLength + tagLength;

/**
 * AES-256-GCM under a key-encryption key of 32 bytes: version (1), key id (8), nonce (12), tag (16), ciphertext.
 * The key id is a hash of the key and tells a wrong key from damaged bytes. With `previous` keys, what they have
 * sealed is still opened; nothing new is sealed with them.
 */
export function createEnvelope(keyEncryptionKey: Buffer, previous: readonly Buffer[] = []): Envelope {
  const current = sealKey(keyEncryptionKey);
  const all = [current, ...previous.map(sealKey)];
  const keyFor = (sealed: Buffer): SealKey => {
    if (sealed.length < bodyStart || sealed[0] !== version) throw new Error('not an envelope');
    const found = all.find(({ header }) => sealed.subarray(0, headerLength).equals(header));
    if (found === undefined) throw new Error('sealed with another key-encryption key');
    return found;
  };
  return {
    derive: (purpose) => createSecretKey(derive(keyEncryptionKey, purpose)),
    prefix: current.header,
    seal(plain, context) {
      const nonce = randomBytes(nonceLength);
      const cipher = createCipheriv('aes-256-gcm', current.key, nonce, { authTagLength: tagLength });
      cipher.setAAD(Buffer.concat([current.header, Buffer.from(context)]));
      const body = Buffer.concat([cipher.update(plain), cipher.final()]);
      return Buffer.concat([current.header, nonce, cipher.getAuthTag(), body]);
    },
    open(sealed, context) {
      const { key, header } = keyFor(sealed);
      const nonce = sealed.subarray(headerLength, headerLength + nonceLength);
      const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagLength });
      decipher.setAAD(Buffer.concat([header, Buffer.from(context)]));
      decipher.setAuthTag(sealed.subarray(headerLength + nonceLength, bodyStart));
      return Buffer.concat([decipher.update(sealed.subarray(bodyStart)), decipher.final()]);
    },
  };
}

interface SealKey {
  readonly key: KeyObject;
  readonly header: Buffer;
}

function sealKey(keyEncryptionKey: Buffer): SealKey {
  if (keyEncryptionKey.length !== 32) throw new TypeError('the key-encryption key has 32 bytes');
  const bytes = derive(keyEncryptionKey, 'envelope');
  const keyId = createHash('sha256').update(bytes).digest().subarray(0, keyIdLength);
  return { key: createSecretKey(bytes), header: Buffer.concat([Buffer.from([version]), keyId]) };
}

function derive(keyEncryptionKey: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', keyEncryptionKey, Buffer.alloc(0), `prime-nest identity ${purpose}`, 32));
}
