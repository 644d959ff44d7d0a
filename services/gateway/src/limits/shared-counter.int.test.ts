import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { silentLogger } from '@prime-nest/kit/log';
import { eventually } from '@prime-nest/testkit/eventually';
import { startTestRedis } from '@prime-nest/testkit/redis';
import type { TestRedis } from '@prime-nest/testkit/redis';
import { Redis } from 'ioredis';
import { RateLimit } from './rate-limit.guard.js';
import { redisOptions } from './redis-options.js';

let redis: TestRedis;
let client: Redis;
const limits: RateLimit[] = [];

beforeAll(async () => {
  redis = await startTestRedis();
  client = new Redis(redis.url);
});
afterAll(async () => {
  for (const limit of limits) limit.stop();
  client?.disconnect();
  await redis?.stop();
});

async function connect(max: number, windowSeconds: number): Promise<RateLimit> {
  const limit = new RateLimit({
    redis: redisOptions({ url: redis.url }),
    max: { address: max, principal: max },
    windowSeconds,
    log: silentLogger(),
  });
  limit.start();
  limits.push(limit);
  await eventually(() => !limit.isDegraded);
  return limit;
}

interface Request {
  readonly sentAt: number;
  readonly answeredAt: number;
  readonly isAllowed: boolean;
}

async function request(limit: RateLimit | undefined, client: string): Promise<Request> {
  const sentAt = performance.now();
  const { isAllowed } = (await limit?.consume('address', client)) ?? { isAllowed: false };
  return { sentAt, answeredAt: performance.now(), isAllowed };
}

describe('gateways that share a counter', () => {
  test('admit in no second more than the limit together, at no edge, and refuse nobody who has room', async () => {
    const [max, windowMs] = [30, 1_000];
    const gateways = await Promise.all([connect(max, 1), connect(max, 1), connect(max, 1)]);
    const all: Request[] = [];
    const endsAt = performance.now() + 4_500;
    while (performance.now() < endsAt) {
      all.push(...(await Promise.all(gateways.flatMap((gateway) => [request(gateway, 'a'), request(gateway, 'a')]))));
    }
    // When Redis judged a request lies between its two instants: whatever it was, these must hold.
    const admitted = all.filter(({ isAllowed }) => isAllowed);
    const byAnswer = [...admitted].sort((a, b) => a.answeredAt - b.answeredAt);
    const tooSoon = byAnswer.filter((last, i) => {
      const first = byAnswer[i - max];
      return first !== undefined && last.answeredAt - first.sentAt < windowMs;
    });
    expect(tooSoon).toEqual([]);
    const wronged = all.filter(({ isAllowed, sentAt, answeredAt }) => {
      const recent = admitted.filter(
        (one) => one.answeredAt >= sentAt - windowMs * 1.01 - 2 && one.sentAt <= answeredAt,
      );
      return !isAllowed && recent.length < max;
    });
    expect(wronged).toEqual([]);
    // Four whole windows at least, or the two above would say nothing.
    expect(admitted.length).toBeGreaterThanOrEqual(4 * max);
  });

  test('count a request of a route in both of its quotas or in neither', async () => {
    const limit = await connect(10, 600);
    const route = { name: 'login', share: 0.4 };
    const answers = await Promise.all(Array.from({ length: 9 }, async () => limit.consume('address', 'b', route)));
    expect(answers.filter(({ isAllowed }) => isAllowed).length).toBe(4);
    const others = await Promise.all(Array.from({ length: 9 }, async () => limit.consume('address', 'b')));
    expect(others.filter(({ isAllowed }) => isAllowed).length).toBe(6);
  });

  test('keep nothing of a client whose window has ended', async () => {
    const limit = await connect(5, 1);
    await limit.consume('address', 'c');
    expect(await client.exists('rl:address:1:c')).toBe(1);
    await eventually(async () => (await client.exists('rl:address:1:c')) === 0);
  });
});
