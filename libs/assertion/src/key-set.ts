import { createHash, createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { AssertionKey } from '@prime-nest/contracts/assertion';
import { z } from 'zod';

/** The keys that a verifier knows, by `kid`. */
export type AssertionKeys = ReadonlyMap<string, KeyObject>;

const KeyDocument = z.object({ keys: z.array(z.unknown()).max(16) });

/**
 * The Ed25519 keys of the gateway's key document (`/.well-known/assertion-jwks.json`). Whatever else is in it, or
 * calls itself by a `kid` that is not its thumbprint, is left out. Throws for what is no key document at all.
 */
export function parseAssertionKeys(document: unknown): AssertionKeys {
  const keys = new Map<string, KeyObject>();
  for (const candidate of KeyDocument.parse(document).keys) {
    const parsed = AssertionKey.safeParse(candidate);
    if (!parsed.success || parsed.data.kid !== thumbprint(parsed.data.x)) continue;
    const { kty, crv, x } = parsed.data;
    keys.set(parsed.data.kid, createPublicKey({ key: { kty, crv, x }, format: 'jwk' }));
  }
  return keys;
}

/** RFC 7638 with the members of RFC 8037 §2. */
function thumbprint(x: string): string {
  return createHash('sha256')
    .update(JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x }))
    .digest('base64url');
}
