import { createPrivateKey } from 'node:crypto';
import type { PublicKey } from '@prime-nest/contracts/claims';
import { AppError } from '@prime-nest/contracts/errors';
import type { Signer } from './access-token.js';
import type { Envelope } from './envelope.js';
import { publicKeyOf, publishedKeys } from './key-ring.js';
import type { KeyRow } from './key.store.js';

/**
 * The keys in this process's memory, decrypted once and not per signature. While the active key cannot be read the
 * process signs nothing and is not ready; it never goes on with an older one.
 */
export class SigningKeys {
  readonly #envelope: Envelope;
  #signer: Signer | undefined;
  #published: readonly PublicKey[] = [];
  #problem = 'the signing keys have not been read yet';

  constructor(envelope: Envelope) {
    this.#envelope = envelope;
  }

  /** Takes the live keys as they are stored now. Answers whether the published set has changed. */
  adopt(rows: readonly KeyRow[]): boolean {
    const before = this.#published.map(({ kid }) => kid).join();
    this.#published = publishedKeys(rows);
    this.#open(rows.find(({ state }) => state === 'active'));
    return before !== this.#published.map(({ kid }) => kid).join();
  }

  #open(active: KeyRow | undefined): void {
    if (active !== undefined && active.kid === this.#signer?.kid) return;
    this.#signer = undefined;
    if (active === undefined || active.sealedPrivateKey === null) {
      this.#problem = 'there is no active signing key';
      return;
    }
    try {
      const der = this.#envelope.open(active.sealedPrivateKey, sealContext(active.kid));
      const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
      // A row whose private half belongs to another public one would sign what nobody can verify.
      if (publicKeyOf(privateKey).kid !== active.kid) throw new Error('the private key is another one');
      this.#signer = { kid: active.kid, privateKey };
    } catch {
      this.#problem = `signing key ${active.kid} cannot be decrypted: IDENTITY_KEY_ENCRYPTION_KEY is another one or the row is damaged`;
    }
  }

  /** Throws `unavailable` while there is no usable key. */
  signer(): Signer {
    if (this.#signer === undefined) throw new AppError('unavailable', { internal: { reason: this.#problem } });
    return this.#signer;
  }

  /** Throws `unavailable` rather than answer an empty set. */
  published(): PublicKey[] {
    if (this.#published.length === 0) throw new AppError('unavailable', { internal: { reason: this.#problem } });
    return [...this.#published];
  }

  /** A readiness check. */
  check(): Promise<void> {
    return this.#signer === undefined ? Promise.reject(new Error(this.#problem)) : Promise.resolve();
  }
}

/** What a sealed private key is bound to. */
export function sealContext(kid: string): string {
  return `signing_key:${kid}`;
}
