/** How many requests one client may make in any stretch of time of the given length. */
export interface Quota {
  /** Names the policy in headers and metrics: `address`, `principal`, or a route's own. */
  readonly name: string;
  readonly max: number;
  readonly windowSeconds: number;
}

/** Whom a quota counts: the address of a request without a valid token, the account of one with. */
export type Lane = 'address' | 'principal';

/**
 * A stricter limit of one route, beside that of its lane: `share` of what the lane allows, so that it follows when an
 * operator changes that. A request has to fit both, and one that does not counts in neither.
 */
export interface SharedLimit {
  readonly name: string;
  /** Above 0, at most 1. */
  readonly share: number;
}

/** A limit of one route in numbers, beside that of its lane. */
export type RouteLimit = SharedLimit | Quota;

/** What an operator sets for a route instead: `max` in `windowSeconds`, or in the common window. */
export interface RouteOverride {
  readonly max: number;
  readonly windowSeconds?: number;
}
export type RouteOverrides = Readonly<Record<string, RouteOverride>>;

const override = /^([a-z][a-z-]{0,31})=([1-9]\d{0,6})(?:\/([1-9]\d{0,4}))?$/;

/** Reads `login=10,export=5/3600` (requests, after a slash the window in seconds); undefined when it is not of that form. */
export function parseOverrides(text: string): RouteOverrides | undefined {
  const overrides: Record<string, RouteOverride> = {};
  for (const part of text.split(',')) {
    const [, name, max, windowSeconds] = override.exec(part.trim()) ?? [];
    if (name === undefined || max === undefined || Object.hasOwn(overrides, name)) return undefined;
    overrides[name] = {
      max: Number(max),
      ...(windowSeconds === undefined ? {} : { windowSeconds: Number(windowSeconds) }),
    };
  }
  return overrides;
}

/** What counts for a route: its own numbers, the operator's word, or its share of the lane's limit, at least 1. */
export function routeQuota(route: RouteLimit, lane: Quota, overrides: RouteOverrides): Quota {
  if (!('share' in route)) return route;
  const { name, share } = route;
  const given = overrides[name];
  if (given === undefined) return { ...lane, name, max: Math.max(1, Math.floor(lane.max * share)) };
  return { name, max: given.max, windowSeconds: given.windowSeconds ?? lane.windowSeconds };
}

/** The quota of a gateway that cannot ask the others: half of it, so that two of them do not allow more together. */
export function localQuota(quota: Quota): Quota {
  return { ...quota, max: Math.max(1, Math.floor(quota.max / 2)) };
}
