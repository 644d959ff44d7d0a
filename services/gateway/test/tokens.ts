import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { PublicKey } from '@prime-nest/contracts/claims';
import { newId } from '@prime-nest/kit/ids';
import { newKeyPair } from '@prime-nest/testkit/keys';

/** A signing key of a pretended identity service, with its public half as the contracts carry it. */
export interface SigningKey {
  readonly privateKey: KeyObject;
  readonly publicKeyPem: string;
  readonly jwk: PublicKey;
}

export function newSigningKey(): SigningKey {
  const pair = newKeyPair();
  const { n = '', e = '' } = createPublicKey(pair.publicKey).export({ format: 'jwk' });
  const kid = createHash('sha256')
    .update(JSON.stringify({ e, kty: 'RSA', n }))
    .digest('base64url');
  return {
    privateKey: createPrivateKey(pair.privateKey),
    publicKeyPem: pair.publicKey,
    jwk: { kty: 'RSA', kid, use: 'sig', alg: 'RS256', n, e },
  };
}

export const issuer = 'https://issuer.test';
export const audience = 'test-api';

export function goodClaims(
  now: Date,
): Record<string, unknown> & { sub: string; sid: string; exp: number; iat: number } {
  const iat = Math.floor(now.getTime() / 1000);
  return { iss: issuer, aud: audience, sub: newId(), sid: newId(), jti: newId(), iat, exp: iat + 900, ver: 0 };
}

export const goodHeader = (key: SigningKey) => ({ alg: 'RS256', typ: 'at+jwt', kid: key.jwk.kid });

export const encode = (text: string | Buffer) => Buffer.from(text).toString('base64url');

/** Signs any two texts as they are, well-formed or not. */
export function signText(key: SigningKey, header: string, payload: string | Buffer): string {
  const input = `${encode(header)}.${encode(payload)}`;
  return `${input}.${sign('RSA-SHA256', Buffer.from(input), key.privateKey).toString('base64url')}`;
}

export function signToken(key: SigningKey, claims: object, header: object = goodHeader(key)): string {
  return signText(key, JSON.stringify(header), JSON.stringify(claims));
}
