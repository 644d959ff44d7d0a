import { sign, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { accessTokenAlgorithm, accessTokenType, type AccessTokenClaims } from '@prime-nest/contracts/claims';

export interface Signer {
  readonly kid: string;
  readonly privateKey: KeyObject;
}

const signed = promisify(sign);

/**
 * Signs an access token (RFC 7515 compact, RFC 9068 §2; RS256, RFC 7518 §3.3) with exactly these claims. The signature
 * is most of what a token costs: it is made on a thread of libuv's pool, which nothing else here keeps busy, and the
 * process goes on meanwhile. It is a credential: never log it.
 */
export async function signAccessToken(claims: AccessTokenClaims, { kid, privateKey }: Signer): Promise<string> {
  const input = `${encode({ alg: accessTokenAlgorithm, typ: accessTokenType, kid })}.${encode(claims)}`;
  const signature = await signed('RSA-SHA256', Buffer.from(input, 'latin1'), privateKey);
  return `${input}.${signature.toString('base64url')}`;
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}
