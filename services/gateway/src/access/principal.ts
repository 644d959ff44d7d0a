import type { Actor } from '@prime-nest/contracts/context';

/** Who a request speaks for, after verification of its token. */
export interface Principal {
  /** The account. */
  readonly id: string;
  readonly sessionId: string;
}

/** What a route asks of its caller. A route without one is not served. */
export type RouteAccess =
  | { readonly kind: 'public' }
  | { readonly kind: 'authenticated' }
  | { readonly kind: 'permission'; readonly permission: string };

export function isSameAccess(a: RouteAccess, b: RouteAccess): boolean {
  if (a.kind === 'permission') return b.kind === 'permission' && a.permission === b.permission;
  return a.kind === b.kind;
}

export function actorOf({ id, sessionId }: Principal): Actor {
  return { type: 'user', id, sessionId };
}

/** Not one credential in the accepted form. */
export const ambiguous = Symbol('ambiguous');

const scheme = 'Bearer ';

/**
 * The credential of an `Authorization` header in the one form that is accepted, `Bearer <token>` (RFC 6750 §2.1), or
 * undefined when there is none. {@link ambiguous}: more than one header or another form; a choice between two would be a
 * guess. `rawHeaders` alternates names and values as received.
 */
export function bearerToken(rawHeaders: readonly string[]): string | undefined | typeof ambiguous {
  let found: string | undefined;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    if (name.length !== 13 || name.toLowerCase() !== 'authorization') continue;
    if (found !== undefined) return ambiguous;
    found = rawHeaders[i + 1] ?? '';
  }
  if (found === undefined) return undefined;
  return found.startsWith(scheme) && found.length > scheme.length ? found.slice(scheme.length) : ambiguous;
}
