import { verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { AccessTokenClaims, accessTokenAlgorithm, accessTokenType } from '@prime-nest/contracts/claims';
import { parseStrictJson } from '../http/strict-json.js';

export interface TokenPolicy {
  readonly issuer: string;
  readonly audience: string;
  /** How far in the future `iat` may lie, in seconds: a clock of the issuer that runs ahead. At most 30. */
  readonly skewSeconds: number;
  /** The longest `exp - iat` that is accepted, in seconds. */
  readonly lifetimeSecondsMax: number;
}

export interface VerificationKeys {
  get(kid: string): KeyObject | undefined;
}

/** `reason` is for our log only; the caller learns the code. */
export type TokenVerdict =
  | { readonly claims: AccessTokenClaims }
  | { readonly code: 'token_invalid' | 'token_expired'; readonly reason: TokenFault };

export type TokenFault =
  | 'too_long'
  | 'not_compact'
  | 'not_canonical'
  | 'header'
  | 'unknown_key'
  | 'signature'
  | 'claims'
  | 'issuer'
  | 'audience'
  | 'issued_in_future'
  | 'lifetime'
  | 'expired';

const bytesMax = 8 * 1024;
const depthMax = 4;
const base64url = /^[A-Za-z0-9_-]+$/;

/**
 * Verifies an access token (RFC 7515 compact, RFC 9068, by the rules of RFC 8725) and answers its claims only when
 * every rule holds: at most 8 KB; the one canonical spelling (no padding, no spare bits); a header of exactly `alg`
 * RS256, `typ` at+jwt and a known `kid`, so that nothing in it can choose an algorithm, a key or an address; no JSON
 * member twice; a good signature; all claims present with their types and no others; `iss` and `aud` exact; not
 * expired (no leeway) and not issued in the future. Reads no clock and does no I/O.
 */
export function verifyAccessToken(
  compact: string,
  keys: VerificationKeys,
  now: Date,
  policy: TokenPolicy,
): TokenVerdict {
  if (compact.length > bytesMax) return invalid('too_long');
  const parts = compact.split('.', 4);
  const [head, body, mac] = parts;
  if (parts.length !== 3 || head === undefined || body === undefined || mac === undefined)
    return invalid('not_compact');
  const headBytes = decode(head);
  const bodyBytes = decode(body);
  const signature = decode(mac);
  if (headBytes === undefined || bodyBytes === undefined || signature === undefined) return invalid('not_canonical');

  const kid = keyIdOf(headBytes);
  if (kid === undefined) return invalid('header');
  const key = keys.get(kid);
  if (key === undefined) return invalid('unknown_key');
  if (!verify('RSA-SHA256', Buffer.from(`${head}.${body}`, 'latin1'), key, signature)) return invalid('signature');

  const parsed = parseStrictJson(bodyBytes, depthMax);
  if ('problem' in parsed) return invalid('claims');
  const claims = AccessTokenClaims.safeParse(parsed.value);
  if (!claims.success) return invalid('claims');
  return judge(claims.data, now, policy);
}

function judge(claims: AccessTokenClaims, now: Date, policy: TokenPolicy): TokenVerdict {
  const seconds = now.getTime() / 1000;
  if (claims.iss !== policy.issuer) return invalid('issuer');
  if (claims.aud !== policy.audience) return invalid('audience');
  if (claims.iat > seconds + policy.skewSeconds) return invalid('issued_in_future');
  if (claims.exp <= claims.iat || claims.exp - claims.iat > policy.lifetimeSecondsMax) return invalid('lifetime');
  if (seconds >= claims.exp) return { code: 'token_expired', reason: 'expired' };
  return { claims };
}

/** The `kid`, if the header holds exactly the three members that we issue with exactly our values. */
function keyIdOf(bytes: Buffer): string | undefined {
  const parsed = parseStrictJson(bytes, depthMax);
  if ('problem' in parsed || typeof parsed.value !== 'object' || parsed.value === null) return undefined;
  const header = new Map<string, unknown>(Object.entries(parsed.value));
  const kid = header.get('kid');
  if (header.size !== 3 || typeof kid !== 'string') return undefined;
  return header.get('alg') === accessTokenAlgorithm && header.get('typ') === accessTokenType ? kid : undefined;
}

/** Base64url without padding (RFC 7515 §2), only in the spelling that encoding the bytes again gives. */
function decode(text: string): Buffer | undefined {
  if (!base64url.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

function invalid(reason: TokenFault): TokenVerdict {
  return { code: 'token_invalid', reason };
}
