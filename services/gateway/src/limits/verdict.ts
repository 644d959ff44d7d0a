import type { Quota } from './quota.js';
import type { Taken } from './rate-window.js';

/** What one quota says about a request. */
export interface Standing {
  readonly quota: Quota;
  readonly remaining: number;
  /** Whole seconds until the next of the requests made so far stops counting. */
  readonly resetSeconds: number;
}

export interface RateVerdict {
  readonly isAllowed: boolean;
  readonly standings: readonly Standing[];
}

/** Verdicts about `count` equal requests of which some fit, in order; `found` has one entry for each quota. */
export function verdicts(quotas: readonly Quota[], found: readonly Taken[], count: number): RateVerdict[] {
  return Array.from({ length: count }, (_, place) => ({
    isAllowed: found.every(({ taken }) => place < taken),
    standings: quotas.map((quota, i) => {
      const { taken, used, freeInMs } = found[i] ?? { taken: 0, used: quota.max, freeInMs: 0 };
      return {
        quota,
        remaining: Math.max(0, quota.max - used + Math.max(0, taken - place - 1)),
        resetSeconds: Math.max(1, Math.ceil(freeInMs / 1000)),
      };
    }),
  }));
}

/** The quota that refused: of several, the one that takes longest to have room. */
export function refusing({ standings }: RateVerdict): Standing | undefined {
  const exhausted = standings.filter(({ remaining }) => remaining === 0);
  return exhausted.reduce<Standing | undefined>(
    (worst, standing) => (worst === undefined || standing.resetSeconds > worst.resetSeconds ? standing : worst),
    undefined,
  );
}

/**
 * `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10) with every quota that counts the
 * request, and for older clients the three headers that preceded them, about the quota with the least left.
 * `Retry-After` is added with the problem when the request is refused.
 */
export function rateHeaders({ standings }: RateVerdict): Record<string, string> {
  const [first, ...rest] = standings;
  if (first === undefined) return {};
  const least = rest.reduce((a, b) => (b.remaining < a.remaining ? b : a), first);
  return {
    ratelimit: standings
      .map(({ quota, remaining, resetSeconds }) => `"${quota.name}";r=${remaining};t=${resetSeconds}`)
      .join(', '),
    'ratelimit-policy': standings.map(({ quota }) => policyOf(quota)).join(', '),
    'ratelimit-limit': String(least.quota.max),
    'ratelimit-remaining': String(least.remaining),
    'ratelimit-reset': String(least.resetSeconds),
  };
}

function policyOf({ name, max, windowSeconds }: Quota): string {
  return `"${name}";q=${max};w=${windowSeconds}`;
}
