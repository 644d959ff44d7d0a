import type { KeyObject } from 'node:crypto';
import { accessTokenAlgorithm, accessTokenType, type AccessTokenClaims } from '@prime-nest/contracts/claims';
import { SignJWT } from 'jose';

export interface Signer {
  readonly kid: string;
  readonly privateKey: KeyObject;
}

/** Signs an access token (RFC 9068 §2; RS256, RFC 7518 §3.3) with exactly these claims. It is a credential: never log it. */
export function signAccessToken(claims: AccessTokenClaims, { kid, privateKey }: Signer): Promise<string> {
  return new SignJWT({ ...claims })
    .setProtectedHeader({ alg: accessTokenAlgorithm, typ: accessTokenType, kid })
    .sign(privateKey);
}
