/** What the caller's headers may tell a service without being named by its route: negotiation and conditions. */
const usualRequest = [
  'accept',
  'accept-language',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'idempotency-key',
];
const usualResponse = ['content-language', 'etag', 'last-modified', 'retry-after'];

/** Of the connection (RFC 9110 §7.6.1), of framing, or about who is in between: never a matter between the two ends. */
const betweenHops = [
  /^(connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|host|via|forwarded|date|age)$/,
  /^(content-length|content-encoding|content-type|accept-encoding|http2-settings|max-forwards)$/,
  /^(proxy|x-forwarded|x-original|x-rewrite|x-http-method|x-envoy|cf|true-client)(-|$)/,
  /^x-(real-ip|client-ip|cluster-client-ip|method-override|http-host-override|host|url)$/,
];
/** Who the caller is, and which request this is: said by us and by nobody else. */
const ours = [
  /^(authorization|cookie|cookie2|set-cookie|set-cookie2|traceparent|tracestate|baggage|x-correlation-id|x-trace-id)$/,
  /^(prime-nest|pn|x-user|x-internal|x-auth|x-remote-user|remote-user)(-|$)/,
];
/** Decided by the gateway for every answer: who may read it, how it is kept and rendered, how often one may ask. */
const guarded = [
  /^(access-control|content-security-policy|cross-origin|origin-agent-cluster|permissions-policy|x-content-type-options)(-|$)/,
  /^(strict-transport-security|referrer-policy|x-frame-options|x-dns-prefetch-control|x-download-options|x-xss-protection)$/,
  /^(x-permitted-cross-domain-policies|clear-site-data|service-worker-allowed|refresh|alt-svc|nel|report-to)$/,
  /^(cache-control|expires|pragma|surrogate-control|vary|www-authenticate|allow|x-revision|server|x-powered-by)$/,
  /^(ratelimit|x-ratelimit|reporting-endpoints|x-accel)(-|$)/,
];

const matchesOne = (patterns: readonly RegExp[], name: string) => patterns.some((pattern) => pattern.test(name));

/** Whether a route may name this request header to be passed on. */
export function mayPassRequestHeader(name: string): boolean {
  return !matchesOne([...betweenHops, ...ours], name);
}

/** Whether a route may name this response header to be passed back. */
export function mayPassResponseHeader(name: string): boolean {
  return !matchesOne([...betweenHops, ...ours, ...guarded], name);
}

/** Names of the request headers that pass for a route that names these. */
export function passedRequestHeaders(named: readonly string[]): readonly string[] {
  return [...new Set([...usualRequest, ...named])];
}

export function passedResponseHeaders(named: readonly string[]): readonly string[] {
  return [...new Set([...usualResponse, ...named])];
}

/** One line of printable ASCII and tabs: what every parser of a header reads alike. */
export function isPlainValue(value: string): boolean {
  return /^[\t\x20-\x7e]*$/.test(value);
}
