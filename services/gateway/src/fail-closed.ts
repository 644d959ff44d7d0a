/**
 * What callers see while a part of the system does not answer, by part and kind of request. No cell is "allowed
 * because it could not be checked": a request either has everything it must know, or it is 503. Every cell is tested
 * with the part gone, silent, cut off by a partition, and five seconds slow; the documentation shows the table.
 *
 * `served`: as always. `unavailable`: 503 within 1.5 s, in milliseconds once a circuit is open. `bounded`: served for
 * as long as what is known here may be relied on (2 s after identity was last heard to know nothing more), then 503.
 * For a service of the route file `unavailable` is 503 when it cannot be reached, 502 when it hangs up, and 504 when it
 * does not answer in the time of its route.
 */
export type Behaviour = 'served' | 'unavailable' | 'bounded';

export const parts = ['redis', 'bus', 'identity', 'rbac', 'audit', 'upstream'] as const;
export type Part = (typeof parts)[number];

export const requestKinds = [
  'login',
  'refresh',
  'ownAccount',
  'guardedRead',
  'mutation',
  'auditSearch',
  'keySet',
  'upstreamCall',
] as const;
export type RequestKind = (typeof requestKinds)[number];

export const failClosed: Readonly<Record<Part, Readonly<Record<RequestKind, Behaviour>>>> = {
  /** Limits become local and stricter; nothing else depends on it. */
  redis: {
    login: 'served',
    refresh: 'served',
    ownAccount: 'served',
    guardedRead: 'served',
    mutation: 'served',
    auditSearch: 'served',
    keySet: 'served',
    upstreamCall: 'served',
  },
  /** The way to everything. The keys in memory are still shown. */
  bus: {
    login: 'unavailable',
    refresh: 'unavailable',
    ownAccount: 'unavailable',
    guardedRead: 'unavailable',
    mutation: 'unavailable',
    auditSearch: 'unavailable',
    keySet: 'served',
    upstreamCall: 'unavailable',
  },
  /** Tokens go on being verified with the keys in memory, until revocations can no longer be known. */
  identity: {
    login: 'unavailable',
    refresh: 'unavailable',
    ownAccount: 'unavailable',
    guardedRead: 'bounded',
    mutation: 'bounded',
    auditSearch: 'bounded',
    keySet: 'served',
    upstreamCall: 'bounded',
  },
  /** No decision is no permission. */
  rbac: {
    login: 'served',
    refresh: 'served',
    ownAccount: 'unavailable',
    guardedRead: 'unavailable',
    mutation: 'unavailable',
    auditSearch: 'unavailable',
    keySet: 'served',
    upstreamCall: 'unavailable',
  },
  /** Mutations are recorded in their own services and wait there. */
  audit: {
    login: 'served',
    refresh: 'served',
    ownAccount: 'served',
    guardedRead: 'served',
    mutation: 'served',
    auditSearch: 'unavailable',
    keySet: 'served',
    upstreamCall: 'served',
  },
  /** A service of the route file over HTTP: its own routes only. */
  upstream: {
    login: 'served',
    refresh: 'served',
    ownAccount: 'served',
    guardedRead: 'served',
    mutation: 'served',
    auditSearch: 'served',
    keySet: 'served',
    upstreamCall: 'unavailable',
  },
};
