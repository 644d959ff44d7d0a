import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';

/** Secrets that leave the process only encrypted. `context` names what is sealed, so that rows cannot be exchanged. */
export interface Envelope {
  seal(plain: Buffer, context: string): Buffer;
  /** Throws when the key is another one, the bytes were changed or the context is not the one it was sealed for. */
  open(sealed: Buffer, context: string): Buffer;
  /** A key for one purpose, the same for every replica; from it nothing can be learnt about another. */
  derive(purpose: string): Buffer;
}

const version = 1;
const keyIdLength = 8;
const nonceLength = 12;
const tagLength = 16;

/**
 * AES-256-GCM under a key-encryption key of 32 bytes: version (1), key id (8), nonce (12), tag (16), ciphertext.
 * The key id is a hash of the key and tells a wrong key from damaged bytes.
 */
export function createEnvelope(keyEncryptionKey: Buffer): Envelope {
  if (keyEncryptionKey.length !== 32) throw new TypeError('the key-encryption key has 32 bytes');
  const derive = (purpose: string) =>
    Buffer.from(hkdfSync('sha256', keyEncryptionKey, Buffer.alloc(0), `prime-nest identity ${purpose}`, 32));
  const key = derive('envelope');
  const keyId = createHash('sha256').update(key).digest().subarray(0, keyIdLength);
  const header = Buffer.concat([Buffer.from([version]), keyId]);
  return {
    derive,
    seal(plain, context) {
      const nonce = randomBytes(nonceLength);
      const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagLength });
      cipher.setAAD(Buffer.concat([header, Buffer.from(context)]));
      const body = Buffer.concat([cipher.update(plain), cipher.final()]);
      return Buffer.concat([header, nonce, cipher.getAuthTag(), body]);
    },
    open(sealed, context) {
      const bodyStart = header.length + nonceLength + tagLength;
      if (sealed.length < bodyStart || sealed[0] !== version) throw new Error('not an envelope');
      if (!sealed.subarray(0, header.length).equals(header)) throw new Error('sealed with another key-encryption key');
      const nonce = sealed.subarray(header.length, header.length + nonceLength);
      const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagLength });
      decipher.setAAD(Buffer.concat([header, Buffer.from(context)]));
      decipher.setAuthTag(sealed.subarray(header.length + nonceLength, bodyStart));
      return Buffer.concat([decipher.update(sealed.subarray(bodyStart)), decipher.final()]);
    },
  };
}
