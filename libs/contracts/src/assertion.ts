import { z } from 'zod';
import { Id } from './ids.js';
import { UpstreamName } from './route-file.js';
import { PermissionName } from './rbac.js';

/**
 * How the gateway tells a service behind it for whom a request is made: a JWT of its own kind, made for one request
 * to one service. It is never the caller's access token, and no access token is one of these.
 */
export const assertionAlgorithm = 'EdDSA';
export const assertionType = 'pn-assertion+jwt';
export const assertionIssuer = 'prime-nest/gateway';
/** The longest life of an assertion, in seconds. */
export const assertionLifetimeMax = 30;

/** Carries the assertion of an HTTP request. */
export const assertionHeader = 'prime-nest-assertion';
/** Carries the assertion of a request over NATS. */
export const assertionBusHeader = 'Pn-Assertion';
/** The method that an assertion for NATS is bound to; its target is the subject. */
export const busMethod = 'REQUEST';

const Seconds = z.int().min(0).max(9_999_999_999);

/** The one request that an assertion is good for. */
export const AssertedRequest = z.strictObject({
  /** The HTTP method as sent to the service, or {@link busMethod}. */
  method: z.string().regex(/^[A-Z]{3,10}$/),
  /** The path with its query exactly as sent to the service, or the NATS subject. */
  target: z.string().min(1).max(16_384),
  /** SHA-256 of the body's bytes, base64url; of no bytes when there is no body. */
  bodyDigest: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
});
export type AssertedRequest = z.infer<typeof AssertedRequest>;

/** The claims of an assertion. Without `sub` the caller is nobody in particular: the route is public. */
export const AssertionClaims = z.strictObject({
  iss: z.literal(assertionIssuer),
  /** The upstream, by its name in the route file. */
  aud: UpstreamName,
  /** The account. */
  sub: Id.optional(),
  /** The session. */
  sid: Id.optional(),
  /** The permission that was decided for this very request. */
  permission: PermissionName.optional(),
  jti: Id,
  iat: Seconds,
  exp: Seconds,
  request: AssertedRequest,
});
export type AssertionClaims = z.infer<typeof AssertionClaims>;

/** A public key that verifies assertions (RFC 8037 §2). `kid` is its RFC 7638 thumbprint. */
export const AssertionKey = z.object({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  kid: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  use: z.literal('sig'),
  alg: z.literal(assertionAlgorithm),
  x: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
});
export type AssertionKey = z.infer<typeof AssertionKey>;

/** What a service receives over NATS: the request as its route describes it, with everything in it checked for form. */
export const BusRequest = z.strictObject({
  method: z.string(),
  params: z.record(z.string(), z.string()),
  query: z.record(z.string(), z.string()),
  body: z.json().optional(),
});
export type BusRequest = z.infer<typeof BusRequest>;

/** What it answers. An answer outside of this is a fault of the service. */
export const BusReply = z.strictObject({
  status: z.int().min(200).max(499),
  body: z.json().optional(),
});
export type BusReply = z.infer<typeof BusReply>;
