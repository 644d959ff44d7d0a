import type { Logger } from '@prime-nest/kit/log';
import { Redis } from 'ioredis';
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';

/** `address`: by IP, for requests without a valid token. `principal`: by account. */
export type Lane = 'address' | 'principal';

export interface RateLimitOptions {
  readonly redisUrl: string;
  readonly max: Readonly<Record<Lane, number>>;
  readonly windowSeconds: number;
  readonly log: Logger;
}

export interface RateVerdict {
  readonly isAllowed: boolean;
  readonly limit: number;
  readonly remaining: number;
  /** Whole seconds until the window ends. */
  readonly resetSeconds: number;
}

const answerWithinMs = 250;
/** The client's own bound, for what nobody waits for any more. */
const commandTimeoutMs = 1_000;
const pauseAfterFailureMs = 1_000;

/**
 * Counts requests in fixed windows that begin with the first request, shared by all gateways through Redis in one
 * atomic step. Without Redis it counts in this process with half the limit: stricter, never absent, and it waits for
 * Redis at most 250 ms once a second.
 */
export class RateLimit {
  readonly #redis: Redis;
  readonly #shared: Readonly<Record<Lane, RateLimiterRedis>>;
  readonly #local: Readonly<Record<Lane, RateLimiterMemory>>;
  readonly #log: Logger;
  #pausedUntilMs = 0;
  #isDegraded = false;

  constructor({ redisUrl, max, windowSeconds, log }: RateLimitOptions) {
    this.#log = log;
    this.#redis = new Redis(redisUrl, {
      lazyConnect: true,
      enableOfflineQueue: false,
      enableAutoPipelining: true,
      maxRetriesPerRequest: 1,
      commandTimeout: commandTimeoutMs,
      connectTimeout: 1_000,
      retryStrategy: (attempt) => Math.min(100 * attempt, 1_000),
    });
    this.#redis.on('error', (error: unknown) => {
      log.debug({ err: error }, 'limits.redis_error');
    });
    const shared = (lane: Lane) =>
      new RateLimiterRedis({
        storeClient: this.#redis,
        keyPrefix: `rl:${lane}`,
        points: max[lane],
        duration: windowSeconds,
        rejectIfRedisNotReady: true,
        // A key that is over its limit stays so until its window ends: no need to ask for that.
        inMemoryBlockOnConsumed: max[lane] + 1,
      });
    const local = (lane: Lane) =>
      new RateLimiterMemory({
        keyPrefix: lane,
        points: Math.max(1, Math.floor(max[lane] / 2)),
        duration: windowSeconds,
      });
    this.#shared = { address: shared('address'), principal: shared('principal') };
    this.#local = { address: local('address'), principal: local('principal') };
  }

  /** Connects in the background; a Redis that is away does not keep the gateway from starting. */
  start(): void {
    this.#redis.connect().catch(() => undefined);
  }

  get isDegraded(): boolean {
    return this.#isDegraded || this.#redis.status !== 'ready';
  }

  async consume(lane: Lane, key: string): Promise<RateVerdict> {
    if (performance.now() >= this.#pausedUntilMs) {
      const limiter = this.#shared[lane];
      try {
        const result = verdict(await inTime(limiter.consume(key)), limiter.points, true);
        this.#recovered();
        return result;
      } catch (error) {
        if (error instanceof RateLimiterRes) return verdict(error, limiter.points, false);
        this.#failed(error);
      }
    }
    const limiter = this.#local[lane];
    try {
      return verdict(await limiter.consume(key), limiter.points, true);
    } catch (error) {
      if (error instanceof RateLimiterRes) return verdict(error, limiter.points, false);
      throw error;
    }
  }

  stop(): void {
    this.#redis.disconnect();
  }

  #failed(error: unknown): void {
    this.#pausedUntilMs = performance.now() + pauseAfterFailureMs;
    if (this.#isDegraded) return;
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
function inTime(answer: Promise<RateLimiterRes>): Promise<RateLimiterRes> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      setImmediate(() => setImmediate(() => reject(new Error(`no answer within ${answerWithinMs} ms`))));
    }, answerWithinMs);
    answer.then(resolve, reject).finally(() => {
      clearTimeout(timer);
    });
  });
}

function verdict({ consumedPoints, msBeforeNext }: RateLimiterRes, limit: number, isAllowed: boolean): RateVerdict {
  return {
    isAllowed,
    limit,
    remaining: Math.max(0, limit - consumedPoints),
    resetSeconds: Math.max(1, Math.ceil(msBeforeNext / 1000)),
  };
}

/** `RateLimit-*` headers, and `Retry-After` is added with the problem when the request is refused. */
export function rateHeaders(
  { limit, remaining, resetSeconds }: RateVerdict,
  windowSeconds: number,
): Record<string, string> {
  return {
    'ratelimit-limit': String(limit),
    'ratelimit-remaining': String(remaining),
    'ratelimit-reset': String(resetSeconds),
    'ratelimit-policy': `${limit};w=${windowSeconds}`,
  };
}
