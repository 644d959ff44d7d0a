/**
 * What callers see while a part of the system does not answer, by part and kind of request. No cell is "allowed
 * because it could not be checked": a request either has everything it must know, or it is 503. Every cell is tested
 * with the part gone and with the part silent; the table is what the documentation shows.
 *
 * `served`: as always. `unavailable`: 503 within 1.5 s, in milliseconds once a circuit is open. `bounded`: served for
 * as long as what is known here may be relied on (2 s after identity was last heard to know nothing more), then 503.
 */
export type Behaviour = 'served' | 'unavailable' | 'bounded';

export const parts = ['redis', 'bus', 'identity', 'rbac', 'audit'] as const;
export type Part = (typeof parts)[number];

export const requestKinds = [
  'login',
  'refresh',
  'ownAccount',
  'guardedRead',
  'mutation',
  'auditSearch',
  'keySet',
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
  },
};
