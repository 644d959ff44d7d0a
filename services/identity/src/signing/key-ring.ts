import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import type { PublicKey } from '@prime-nest/contracts/claims';

/**
 * `pending` is published and signs nothing yet; `active` signs; `retiring` only verifies; `retired` does nothing any
 * more; `compromised` is refused from one moment to the next.
 */
export type KeyState = 'pending' | 'active' | 'retiring' | 'retired' | 'compromised';

export interface RingKey {
  readonly kid: string;
  readonly state: KeyState;
  readonly publicKey: PublicKey;
  readonly stateSince: Date;
}

export interface KeyPolicy {
  /** How long a key is published before it signs. */
  readonly leadSeconds: number;
  /** How long a key verifies after it signed last: the longest life of an access token, and clock skew. */
  readonly retiringSeconds: number;
  /** Age at which the active key gets a successor; 0 for never. */
  readonly rotationSeconds: number;
}

export type Transition =
  | { readonly kind: 'create' }
  | { readonly kind: 'activate'; readonly kid: string; readonly replaces: string | undefined }
  | { readonly kind: 'retire'; readonly kid: string };

/** What is due at `now`. Doing it and asking again answers nothing until more time has passed. */
export function dueTransitions(keys: readonly RingKey[], now: Date, policy: KeyPolicy): Transition[] {
  const isDue = (key: RingKey, seconds: number) => now.getTime() - key.stateSince.getTime() >= seconds * 1000;
  const pending = keys.find(({ state }) => state === 'pending');
  const active = keys.find(({ state }) => state === 'active');
  const due: Transition[] = keys
    .filter((key) => key.state === 'retiring' && isDue(key, policy.retiringSeconds))
    .map(({ kid }) => ({ kind: 'retire', kid }));
  if (pending !== undefined && (active === undefined || isDue(pending, policy.leadSeconds))) {
    due.push({ kind: 'activate', kid: pending.kid, replaces: active?.kid });
  } else if (
    pending === undefined &&
    policy.rotationSeconds > 0 &&
    active !== undefined &&
    isDue(active, policy.rotationSeconds)
  ) {
    due.push({ kind: 'create' });
  }
  return due;
}

/** The keys that a verifier needs: whatever may have signed a token that is still alive, and what will sign next. */
export function publishedKeys(keys: readonly RingKey[]): PublicKey[] {
  const order: readonly KeyState[] = ['active', 'pending', 'retiring'];
  return order.flatMap((state) => keys.filter((key) => key.state === state).map(({ publicKey }) => publicKey));
}

/** The public half as it is published; `kid` is its thumbprint (RFC 7638 §3). */
export function publicKeyOf(key: KeyObject): PublicKey {
  const { n, e } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  if (n === undefined || e === undefined) throw new TypeError('not an RSA key');
  const kid = createHash('sha256')
    .update(JSON.stringify({ e, kty: 'RSA', n }))
    .digest('base64url');
  return { kty: 'RSA', kid, use: 'sig', alg: 'RS256', n, e };
}
