import { createHash, createPublicKey, hash, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { assertionAlgorithm, assertionIssuer, assertionType } from '@prime-nest/contracts/assertion';
import type { AssertionClaims, AssertionKey } from '@prime-nest/contracts/assertion';
import type { Principal } from '../access/principal.js';

/** Longer than the longest call, shorter than what verifiers accept. */
const lifetimeSeconds = 20;

/** The private key of the gateway's assertions with its public half. */
export interface AssertionSigner {
  readonly privateKey: KeyObject;
  readonly publicKey: AssertionKey;
}

/** `privateKey`: Ed25519. */
export function assertionSigner(privateKey: KeyObject): AssertionSigner {
  const { x = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
  const kid = createHash('sha256')
    .update(JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x }))
    .digest('base64url');
  return { privateKey, publicKey: { kty: 'OKP', crv: 'Ed25519', kid, use: 'sig', alg: assertionAlgorithm, x } };
}

export interface Assertion {
  readonly audience: string;
  readonly principal: Principal | undefined;
  readonly permission: string | undefined;
  readonly method: string;
  readonly target: string;
  readonly body: Uint8Array;
}

/** Signs who makes exactly this request (RFC 7515 compact, RFC 8037): good for one service, once, for 20 s. */
export function signAssertion(signer: AssertionSigner, assertion: Assertion, jti: string, now: Date): string {
  const { audience, principal, permission, method, target, body } = assertion;
  const iat = Math.floor(now.getTime() / 1000);
  const claims: AssertionClaims = {
    iss: assertionIssuer,
    aud: audience,
    ...(principal === undefined ? {} : { sub: principal.id, sid: principal.sessionId }),
    ...(permission === undefined ? {} : { permission }),
    jti,
    iat,
    exp: iat + lifetimeSeconds,
    request: { method, target, bodyDigest: hash('sha256', body, 'base64url') },
  };
  const head = encode({ alg: assertionAlgorithm, typ: assertionType, kid: signer.publicKey.kid });
  const input = `${head}.${encode(claims)}`;
  return `${input}.${sign(null, Buffer.from(input, 'latin1'), signer.privateKey).toString('base64url')}`;
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
