import { hash, timingSafeEqual, verify } from 'node:crypto';
import {
  AssertionClaims,
  assertionAlgorithm,
  assertionLifetimeMax,
  assertionType,
} from '@prime-nest/contracts/assertion';
import type { AssertionKeys } from './key-set.js';
import type { ReplayMemory } from './replay-memory.js';

/** The request that came with an assertion, as it was received. */
export interface ReceivedRequest {
  /** The HTTP method, or `REQUEST` for NATS (`busMethod` of the contracts). */
  readonly method: string;
  /** The path with its query as in the request line, or the NATS subject. */
  readonly target: string;
  /** The bytes of the body before any parsing; empty without a body. */
  readonly body: Uint8Array;
}

export interface VerifyOptions {
  readonly keys: AssertionKeys;
  /** The name of this service in the gateway's route file. */
  readonly audience: string;
  readonly now: Date;
  readonly replays: ReplayMemory;
}

/** For whom a request is made. Without `id` the route is public. */
export interface AssertedPrincipal {
  readonly id?: string;
  readonly sessionId?: string;
  /** What rbac allowed for this very request. */
  readonly permission?: string;
}

export type AssertionFault =
  | 'malformed'
  | 'header'
  | 'unknown_key'
  | 'signature'
  | 'claims'
  | 'audience'
  | 'lifetime'
  | 'issued_in_future'
  | 'expired'
  | 'other_request'
  | 'replayed'
  | 'memory_full';

export type AssertionVerdict = { readonly principal: AssertedPrincipal } | { readonly code: AssertionFault };

const bytesMax = 32 * 1024;
const skewSeconds = 5;
const base64url = /^[A-Za-z0-9_-]+$/;

/**
 * Verifies that the gateway made this request for this service, now and only once: one canonical spelling; a header
 * of exactly our algorithm, type and a known key; a good Ed25519 signature; exactly our claims; the audience; a life
 * of at most 30 s that has begun (5 s of skew) and not ended; method, target and body as received; not used before.
 * Anything else answers a code, which is for the log: the caller gets 401 and no more. Reads no clock, does no I/O;
 * the only thing it changes is the memory of used assertions, and only for one that is good in every other way.
 */
export function verifyAssertion(
  compact: string | undefined,
  request: ReceivedRequest,
  options: VerifyOptions,
): AssertionVerdict {
  const signed = openCompact(compact);
  if (signed === undefined) return { code: 'malformed' };
  const kid = keyIdOf(signed.header);
  if (kid === undefined) return { code: 'header' };
  const key = options.keys.get(kid);
  if (key === undefined) return { code: 'unknown_key' };
  if (!verify(null, signed.input, key, signed.signature)) return { code: 'signature' };
  const claims = claimsOf(signed.payload);
  if (claims === undefined) return { code: 'claims' };
  return judge(claims, request, options);
}

function judge(claims: AssertionClaims, request: ReceivedRequest, options: VerifyOptions): AssertionVerdict {
  const { audience, now, replays } = options;
  const seconds = now.getTime() / 1000;
  if (claims.aud !== audience) return { code: 'audience' };
  if (claims.exp <= claims.iat || claims.exp - claims.iat > assertionLifetimeMax) return { code: 'lifetime' };
  if (claims.iat > seconds + skewSeconds) return { code: 'issued_in_future' };
  if (seconds >= claims.exp) return { code: 'expired' };
  const { method, target, bodyDigest } = claims.request;
  const isSameRequest = method === request.method && target === request.target;
  if (!isSameRequest || !isSameText(bodyDigest, hash('sha256', request.body, 'base64url'))) {
    return { code: 'other_request' };
  }
  const taken = replays.take(claims.jti, claims.exp, seconds);
  if (taken !== 'new') return { code: taken === 'used' ? 'replayed' : 'memory_full' };
  const { sub, sid, permission } = claims;
  return {
    principal: {
      ...(sub === undefined ? {} : { id: sub }),
      ...(sid === undefined ? {} : { sessionId: sid }),
      ...(permission === undefined ? {} : { permission }),
    },
  };
}

interface Signed {
  readonly header: string;
  readonly payload: string;
  readonly input: Buffer;
  readonly signature: Buffer;
}

/** RFC 7515 §7.1, each part only in the spelling that encoding its bytes again gives. */
function openCompact(compact: string | undefined): Signed | undefined {
  if (compact === undefined || compact.length > bytesMax) return undefined;
  const parts = compact.split('.', 4);
  const [header, payload, signature] = parts.map(decode);
  if (parts.length !== 3 || header === undefined || payload === undefined || signature === undefined) return undefined;
  return {
    header: header.toString('utf8'),
    payload: payload.toString('utf8'),
    input: Buffer.from(compact.slice(0, compact.lastIndexOf('.')), 'latin1'),
    signature,
  };
}

function decode(text: string): Buffer | undefined {
  if (!base64url.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

/** The header that the gateway writes has one spelling; nothing else in a header could mean anything to us. */
function keyIdOf(header: string): string | undefined {
  const kid = /"kid":"([A-Za-z0-9_-]{43})"/.exec(header)?.[1];
  return header === JSON.stringify({ alg: assertionAlgorithm, typ: assertionType, kid }) ? kid : undefined;
}

function claimsOf(payload: string): AssertionClaims | undefined {
  try {
    const value: unknown = JSON.parse(payload);
    // One spelling again: no member twice, no other order of opinions between parsers.
    if (JSON.stringify(value) !== payload) return undefined;
    return AssertionClaims.safeParse(value).data;
  } catch {
    return undefined;
  }
}

function isSameText(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}
