import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** Reads one Ed25519 public key in PEM, or several. Throws for anything else, a private key included. */
export function readPublicKeys(pem: string): KeyObject[] {
  const blocks = pem.replaceAll('\\n', '\n').match(/-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----/g) ?? [];
  const keys = blocks.map((block) => createPublicKey(block));
  if (keys.length === 0 || pem.includes('PRIVATE KEY') || keys.some((key) => key.asymmetricKeyType !== 'ed25519'))
    throw new TypeError('not an Ed25519 public key in PEM');
  return keys;
}
