/** What the `Origin` of a request means for its answer. */
export type OriginVerdict =
  | { readonly kind: 'none' }
  /** A page of this very host, such as the API documentation: no cross-origin headers are needed. */
  | { readonly kind: 'same' }
  | { readonly kind: 'allowed'; readonly origin: string }
  | { readonly kind: 'foreign' };

/**
 * Judges an `Origin` header by exact comparison with the configured list (RFC 6454 §6.1 serialisation): no pattern,
 * no prefix, no case folding. `null` is foreign.
 */
export function judgeOrigin(
  origin: string | undefined,
  host: string | undefined,
  allowed: ReadonlySet<string>,
): OriginVerdict {
  if (origin === undefined) return { kind: 'none' };
  if (allowed.has(origin)) return { kind: 'allowed', origin };
  return isSameHost(origin, host) ? { kind: 'same' } : { kind: 'foreign' };
}

function isSameHost(origin: string, host: string | undefined): boolean {
  if (host === undefined || host === '') return false;
  return origin === `https://${host}` || origin === `http://${host}`;
}

/** The headers of an answer to an allowed origin. Credentials are never allowed: this API knows no cookies. */
export function originHeaders(origin: string): Record<string, string> {
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers':
      'ETag, Location, RateLimit, RateLimit-Limit, RateLimit-Policy, RateLimit-Remaining, RateLimit-Reset, Retry-After, X-Correlation-Id, X-Revision, X-Trace-Id',
  };
}

export const preflightHeaders: Readonly<Record<string, string>> = {
  'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
  'access-control-allow-headers': 'Authorization, Content-Type, Idempotency-Key, If-Match, X-Correlation-Id',
  'access-control-max-age': '600',
};
