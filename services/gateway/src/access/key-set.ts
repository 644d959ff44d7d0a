import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { PublicKey } from '@prime-nest/contracts/claims';
import type { VerificationKeys } from './access-token.js';

const modulusBitsMin = 2048;
const exponentMin = 65_537n;

/**
 * The public keys that verify access tokens, in memory. A key that is too weak or malformed is left out, so that a
 * token made with it does not verify. `generation` rises with every change.
 */
export class KeySet implements VerificationKeys {
  #keys = new Map<string, KeyObject>();
  #published: readonly PublicKey[] = [];
  generation = 0;

  get isLoaded(): boolean {
    return this.#keys.size > 0;
  }

  get(kid: string): KeyObject | undefined {
    return this.#keys.get(kid);
  }

  /** The same keys as a JWK set (RFC 7517 §5). */
  published(): readonly PublicKey[] {
    return this.#published;
  }

  /** Replaces all keys; answers how many were refused. A set without one acceptable key changes nothing. */
  replace(keys: readonly PublicKey[]): number {
    const next = new Map<string, KeyObject>();
    for (const key of keys) {
      const imported = importKey(key);
      if (imported !== undefined) next.set(key.kid, imported);
    }
    if (next.size > 0) {
      const published = keys.filter(({ kid }) => next.has(kid));
      if (JSON.stringify(published) !== JSON.stringify(this.#published)) this.generation += 1;
      this.#published = published;
      this.#keys = next;
    }
    return keys.length - next.size;
  }
}

function importKey({ kty, n, e }: PublicKey): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: { kty, n, e }, format: 'jwk' });
    const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
    return modulusLength >= modulusBitsMin && publicExponent >= exponentMin ? key : undefined;
  } catch {
    // Not an RSA key at all: left out like a weak one.
    return undefined;
  }
}
