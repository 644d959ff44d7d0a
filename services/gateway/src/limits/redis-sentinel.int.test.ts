import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { silentLogger } from '@prime-nest/kit/log';
import { eventually } from '@prime-nest/testkit/eventually';
import { startTestSentinels } from '@prime-nest/testkit/redis-sentinel';
import type { TestSentinels } from '@prime-nest/testkit/redis-sentinel';
import type { TestServer } from '@prime-nest/testkit/controllable';
import { Redis } from 'ioredis';
import { RateLimit } from './rate-limit.guard.js';
import { redisOptions } from './redis-options.js';

/** The limit of all gateways together; what each of them admits alone while Redis is away is half of it. */
const max = 40;
const alone = max / 2;

let redis: TestSentinels;
const limits: RateLimit[] = [];

beforeAll(async () => {
  redis = await startTestSentinels();
  await Promise.all(redis.sentinels.map(knowsEverybody));
}, 60_000);
afterEach(() => {
  for (const limit of limits.splice(0)) limit.stop();
});
afterAll(async () => {
  await redis?.stop();
});

async function asking<T>(server: TestServer, question: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(redis.urlOf(server), {
    lazyConnect: true,
    retryStrategy: () => null,
    commandTimeout: 2_000,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await question(client);
  } finally {
    client.disconnect();
  }
}

/** A Sentinel replaces nobody before it has found the replicas, and the other Sentinels that have to agree. */
const knowsEverybody = (sentinel: TestServer) =>
  eventually(async () => {
    const fields = await asking(
      sentinel,
      (client) => client.call('SENTINEL', 'MASTER', redis.name) as Promise<string[]>,
    );
    const value = (name: string) => fields[fields.indexOf(name) + 1];
    return value('num-slaves') === '2' && value('num-other-sentinels') === '2';
  });

function gateway(target: { url: string; sentinelName?: string }): RateLimit {
  const options = { max: { address: max, principal: max }, windowSeconds: 600, log: silentLogger() };
  const limit = new RateLimit({ redis: redisOptions(target), ...options });
  limit.start();
  limits.push(limit);
  return limit;
}

const throughSentinels = () => gateway({ url: redis.url, sentinelName: redis.name });

/** Of `count` requests at each of the gateways, how many they admitted. */
async function admitted(gateways: readonly RateLimit[], client: string, count: number): Promise<number> {
  const asked = gateways.flatMap((limit) =>
    Array.from({ length: count }, async () => limit.consume('address', client)),
  );
  return (await Promise.all(asked)).filter(({ isAllowed }) => isAllowed).length;
}

const areShared = (gateways: readonly RateLimit[]) => gateways.every((limit) => !limit.isDegraded);

/** What was counted on the primary is on its replicas. */
const isReplicated = (server: TestServer, replicas: number) =>
  eventually(async () => (await asking(server, (client) => client.wait(replicas, 1_000))) === replicas);

/** Requests without a pause until the gateways count together again: how many were made, and how many admitted. */
async function floodUntilShared(gateways: readonly RateLimit[], client: string): Promise<[number, number]> {
  let [made, allowed] = [0, 0];
  await eventually(async () => {
    allowed += await admitted(gateways, client, 10);
    made += 10 * gateways.length;
    return allowed >= gateways.length * alone && areShared(gateways);
  });
  return [made, allowed];
}

describe('limits that are counted in a Redis with Sentinels', () => {
  test('go on after the primary was killed: stricter in between, and what was counted before still counts', async () => {
    const [primary] = redis.servers as [TestServer];
    const gateways = [throughSentinels(), throughSentinels()];
    const bound = gateway({ url: redis.urlOf(primary) });
    await eventually(() => areShared([...gateways, bound]));
    expect(await admitted(gateways, 'used some', 5)).toBe(10);
    expect(await admitted(gateways, 'used all', 30)).toBe(max);
    await isReplicated(primary, 2);

    await primary.kill();
    const [made, allowed] = await floodUntilShared(gateways, 'floods');
    // In the end a window that all share, and before that at most what each gateway admits alone.
    expect(allowed).toBeLessThanOrEqual(gateways.length * alone + max);
    expect(made).toBeGreaterThan(gateways.length * alone + max);

    const fresh = throughSentinels();
    await eventually(() => areShared([fresh]));
    expect(await admitted([...gateways, fresh], 'used all', 5)).toBe(0);
    expect(await admitted([...gateways, fresh], 'used some', 30)).toBe(max - 10);
    // Control: what brings the others back is that they ask the Sentinels.
    expect(bound.isDegraded).toBe(true);
  }, 90_000);

  test('go on after a machine with the primary and a Sentinel froze, while its connections stay open', async () => {
    const gateways = [throughSentinels(), throughSentinels()];
    await eventually(() => areShared(gateways));
    const [, port] = (await asking(redis.sentinels[0] as TestServer, (client) =>
      client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', redis.name),
    )) as [string, string];
    const primary = redis.servers.find((server) => String(server.port) === port) as TestServer;
    expect(await admitted(gateways, 'counted before', 5)).toBe(10);
    await isReplicated(primary, 1);

    primary.pause();
    redis.sentinels[0]?.pause();
    const [made, allowed] = await floodUntilShared(gateways, 'floods again');
    expect(allowed).toBeLessThanOrEqual(gateways.length * alone + max);
    expect(made).toBeGreaterThan(gateways.length * alone + max);
    const fresh = throughSentinels();
    await eventually(() => areShared([fresh]));
    expect(await admitted([...gateways, fresh], 'counted before', 30)).toBe(max - 10);

    // The machine comes back: its server learns that it is no primary any more, and counts for nobody.
    primary.resume();
    redis.sentinels[0]?.resume();
    await eventually(async () => (await asking(primary, (client) => client.role()))[0] === 'slave');
    expect(await admitted([...gateways, fresh], 'counted before', 30)).toBe(0);
  }, 90_000);
});
