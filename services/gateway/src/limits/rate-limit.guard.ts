import { ConfigError } from '@prime-nest/kit/config';
import type { Logger } from '@prime-nest/kit/log';
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import { LRUCache } from 'lru-cache';
import { localQuota, routeQuota } from './quota.js';
import type { Lane, Quota, RouteLimit, RouteOverrides } from './quota.js';
import { RateWindow } from './rate-window.js';
import type { Taken } from './rate-window.js';
import { defineSharedCounter, takeShared } from './shared-counter.store.js';
import { verdicts } from './verdict.js';
import type { RateVerdict } from './verdict.js';

export interface RateLimitOptions {
  readonly redis: RedisOptions;
  readonly max: Readonly<Record<Lane, number>>;
  readonly windowSeconds: number;
  readonly overrides?: RouteOverrides | undefined;
  readonly log: Logger;
}

interface Waiting {
  readonly resolve: (verdict: RateVerdict) => void;
  readonly reject: (error: unknown) => void;
}

/** Equal requests of one turn of the event loop. */
interface Group {
  readonly quotas: readonly Quota[];
  readonly client: string;
  readonly waiting: Waiting[];
}

const answerWithinMs = 250;
/** The client's own bound, for what nobody waits for any more. */
const commandTimeoutMs = 1_000;
const pauseAfterFailureMs = 1_000;
/** Of the clients that are over their limit, and of those counted here alone: the most that are remembered. */
const clientsMax = 50_000;

/**
 * Counts requests in sliding windows that all gateways share through Redis: in no stretch of time as long as the
 * window do they admit more than the limit together. What comes in during one turn of the event loop is counted by one
 * message. Without Redis it counts in this process with half the limit: stricter, never absent, and it waits for
 * Redis at most 250 ms once a second.
 */
export class RateLimit {
  readonly #redis: Redis;
  readonly #lanes: Readonly<Record<Lane, readonly Quota[]>>;
  readonly #overrides: RouteOverrides;
  readonly #ofRoutes = new Map<string, readonly Quota[]>();
  readonly #local = new LRUCache<string, RateWindow>({ max: clientsMax });
  /** Clients without room, until when, on this process's clock: nothing can change that earlier. */
  readonly #full = new LRUCache<string, number>({ max: clientsMax });
  readonly #log: Logger;
  #groups = new Map<string, Group>();
  #pausedUntilMs = 0;
  #isDegraded = false;

  constructor({ redis, max, windowSeconds, overrides = {}, log }: RateLimitOptions) {
    this.#log = log;
    this.#overrides = overrides;
    this.#lanes = {
      address: [{ name: 'address', max: max.address, windowSeconds }],
      principal: [{ name: 'principal', max: max.principal, windowSeconds }],
    };
    this.#redis = new Redis({
      ...redis,
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 1,
      commandTimeout: commandTimeoutMs,
      connectTimeout: 1_000,
      retryStrategy: (attempt) => Math.min(100 * attempt, 1_000),
    });
    defineSharedCounter(this.#redis);
    this.#redis.on('error', (error: unknown) => {
      log.debug({ err: error }, 'limits.redis_error');
    });
  }

  /** Connects in the background; a Redis that is away does not keep the gateway from starting. */
  start(): void {
    this.#redis.connect().catch(() => undefined);
  }

  get isDegraded(): boolean {
    return this.#isDegraded || this.#redis.status !== 'ready';
  }

  /** Every quota that the gateway's routes declare; throws for an override that names none of them. */
  declare(routes: readonly RouteLimit[]): void {
    const names = new Set(routes.map(({ name }) => name));
    const unknown = Object.keys(this.#overrides).filter((name) => !names.has(name));
    if (unknown.length === 0) return;
    const known = [...names].sort().join(', ');
    throw new ConfigError('gateway', [`RATE_LIMIT_ROUTES names ${unknown.join(', ')}; there is ${known}`]);
  }

  /**
   * Counts a request of `client` in its lane and, if it goes to a route with a limit of its own, there as well. The
   * refusal of a client that is known to have no room comes at once and asks nobody.
   */
  consume(lane: Lane, client: string, route?: RouteLimit): RateVerdict | Promise<RateVerdict> {
    const quotas = this.#quotasOf(lane, route);
    const refused = this.#refuse(quotas, client);
    if (refused !== undefined) return refused;
    return new Promise((resolve, reject) => {
      if (this.#groups.size === 0) setImmediate(() => void this.#flush());
      const name = `${route?.name ?? ''} ${lane} ${client}`;
      const known = this.#groups.get(name);
      if (known === undefined) this.#groups.set(name, { quotas, client, waiting: [{ resolve, reject }] });
      else known.waiting.push({ resolve, reject });
    });
  }

  stop(): void {
    this.#redis.disconnect();
  }

  #quotasOf(lane: Lane, route: RouteLimit | undefined): readonly Quota[] {
    if (route === undefined) return this.#lanes[lane];
    const name = `${lane} ${route.name}`;
    const known = this.#ofRoutes.get(name);
    if (known !== undefined) return known;
    const quotas = this.#lanes[lane].flatMap((quota) => [quota, routeQuota(route, quota, this.#overrides)]);
    this.#ofRoutes.set(name, quotas);
    return quotas;
  }

  /** The refusal of a client that is known to have no room: asking would change nothing. */
  #refuse(quotas: readonly Quota[], client: string): RateVerdict | undefined {
    const nowMs = performance.now();
    const standings = quotas.flatMap((quota) => {
      const untilMs = this.#full.get(`${quota.name} ${client}`) ?? 0;
      if (untilMs <= nowMs) return [];
      return [{ quota, remaining: 0, resetSeconds: Math.max(1, Math.ceil((untilMs - nowMs) / 1000)) }];
    });
    return standings.length === 0 ? undefined : { isAllowed: false, standings };
  }

  async #flush(): Promise<void> {
    const groups = [...this.#groups.values()];
    this.#groups = new Map();
    try {
      const shared = await this.#takeShared(groups);
      groups.forEach((group, i) => {
        this.#answer(group, shared?.[i]);
      });
    } catch (error) {
      for (const { waiting } of groups) for (const { reject } of waiting) reject(error);
    }
  }

  #answer({ quotas, client, waiting }: Group, shared: readonly Taken[] | undefined): void {
    const counting = shared === undefined ? quotas.map(localQuota) : quotas;
    const taken = shared ?? this.#takeLocal(counting, client, waiting.length);
    verdicts(counting, taken, waiting.length).forEach((verdict, i) => waiting[i]?.resolve(verdict));
  }

  /** What all gateways count together; undefined when Redis does not answer. */
  async #takeShared(groups: readonly Group[]): Promise<Taken[][] | undefined> {
    const sentAtMs = performance.now();
    if (sentAtMs < this.#pausedUntilMs) return undefined;
    try {
      const charges = groups.map(({ quotas, client, waiting }) => ({ quotas, client, count: waiting.length }));
      const found = await inTime(takeShared(this.#redis, charges));
      this.#recovered();
      groups.forEach(({ quotas, client }, i) => {
        quotas.forEach(({ name, max }, lane) => {
          const { used = 0, freeInMs = 0 } = found[i]?.[lane] ?? {};
          // From when it was sent: Redis judged later, so nobody is refused here who has room there.
          if (used >= max) this.#full.set(`${name} ${client}`, sentAtMs + freeInMs);
        });
      });
      return found;
    } catch (error) {
      this.#failed(error);
      return undefined;
    }
  }

  #takeLocal(quotas: readonly Quota[], client: string, count: number): Taken[] {
    const nowMs = performance.now();
    const windows = quotas.map(({ name, max, windowSeconds }) => {
      const key = `${name} ${client}`;
      const window = this.#local.get(key) ?? new RateWindow(max, windowSeconds);
      this.#local.set(key, window);
      return window;
    });
    const fits = Math.min(...windows.map((window) => window.room(count, nowMs)));
    return windows.map((window) => window.take(fits, nowMs));
  }

  #failed(error: unknown): void {
    this.#pausedUntilMs = performance.now() + pauseAfterFailureMs;
    if (this.#isDegraded) {
      // A server that is frozen, cut off or a primary no more closes no connection: the next one asks where to go.
      if (this.#redis.status === 'ready') this.#redis.disconnect(true);
      return;
    }
    this.#isDegraded = true;
    this.#log.warn({ err: error }, 'limits.degraded');
  }

  #recovered(): void {
    if (!this.#isDegraded) return;
    this.#isDegraded = false;
    this.#log.info('limits.restored');
  }
}

/**
 * Rejects when there is no answer in time. A process that was busy for longer than that must not take its own delay
 * for Redis's: when the timer fires, what has already arrived is read first.
 */
function inTime<T>(answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      setImmediate(() => setImmediate(() => reject(new Error(`no answer within ${answerWithinMs} ms`))));
    }, answerWithinMs);
    answer.then(resolve, reject).finally(() => {
      clearTimeout(timer);
    });
  });
}
