import { z } from 'zod';
import { Id } from './ids.js';

/** The one signature algorithm and the one `typ` that an access token may carry (RFC 7518 §3.3, RFC 9068 §2.1). */
export const accessTokenAlgorithm = 'RS256';
export const accessTokenType = 'at+jwt';

const Seconds = z.int().min(0).max(9_999_999_999);

/**
 * The claims of an access token (RFC 9068 §2.2). Roles are not among them: what a principal may do is asked of rbac
 * for every request, so that a change takes effect while the token lives.
 */
export const AccessTokenClaims = z.strictObject({
  iss: z.string().min(1).max(256),
  aud: z.string().min(1).max(256),
  /** The account. */
  sub: Id,
  /** The session (refresh token family) this token belongs to. */
  sid: Id,
  jti: Id,
  iat: Seconds,
  exp: Seconds,
  /** Credential epoch of the account: a password change or deactivation raises it and older tokens die. */
  ver: z.int().min(0),
});
export type AccessTokenClaims = z.infer<typeof AccessTokenClaims>;

/** A public signing key as the JWKS endpoint shows it (RFC 7517). `kid` is its RFC 7638 thumbprint. */
export const PublicKey = z.object({
  kty: z.literal('RSA'),
  kid: z.string().min(16).max(64),
  use: z.literal('sig'),
  alg: z.literal('RS256'),
  n: z.string().max(2048),
  e: z.string().max(16),
});
export type PublicKey = z.infer<typeof PublicKey>;
