import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@prime-nest/testkit/eventually';
import { AppError } from '@prime-nest/contracts/errors';
import { allowOnly, json, newUser, problemOf, startGateway, startServers } from '../../test/harness.js';
import type { Gateway, GatewayOptions, Servers } from '../../test/harness.js';

let servers: Servers;

beforeAll(async () => {
  servers = await startServers();
  allowOnly(servers.peers, ['rbac:view']);
  servers.peers.answer('rbac.role.list.v1', () => ({ data: [], total: 0 }));
});
afterAll(async () => {
  await servers?.stop();
});

const running: Gateway[] = [];
async function start(options: GatewayOptions): Promise<Gateway> {
  const gateway = await startGateway(servers, options);
  await eventually(async () => {
    const { degraded } = (await (await gateway.fetch('/health/readiness')).json()) as { degraded: string[] };
    return degraded.length === 0;
  });
  running.push(gateway);
  return gateway;
}
async function stopAll(): Promise<void> {
  await Promise.all(running.splice(0).map((gateway) => gateway.stop()));
}

/** How many of `count` requests at once were not refused by the limit. */
async function admitted(gateways: Gateway[], count: number, headers: Record<string, string> = {}): Promise<number> {
  const statuses = await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const gateway = gateways[i % gateways.length];
      return (await gateway?.fetch('/api/roles', { headers }))?.status;
    }),
  );
  return statuses.filter((status) => status !== 429).length;
}

const flush = async () => {
  await servers.redis.restart();
};

describe('the rate limit', () => {
  test('two gateways share one limit exactly, for addresses and for principals', async () => {
    await flush();
    const gateways = [
      await start({ anonymousMax: 40, principalMax: 60 }),
      await start({ anonymousMax: 40, principalMax: 60 }),
    ];
    expect(await admitted(gateways, 100)).toBe(40);
    const user = newUser(servers.key);
    expect(await admitted(gateways, 100, user.headers)).toBe(60);
    expect(await admitted(gateways, 5, newUser(servers.key).headers)).toBe(5);
    await stopAll();
  });

  test('answers carry what is left, and a refusal says when to come back', async () => {
    await flush();
    const gateway = await start({ anonymousMax: 2, windowSeconds: 60 });
    const first = await gateway.fetch('/api/roles');
    expect(first.headers.get('ratelimit-limit')).toBe('2');
    expect(first.headers.get('ratelimit-remaining')).toBe('1');
    expect(first.headers.get('ratelimit-policy')).toBe('"address";q=2;w=60');
    expect(first.headers.get('ratelimit')).toMatch(/^"address";r=1;t=(60|59)$/);
    await gateway.fetch('/api/roles');
    const refused = await gateway.fetch('/api/roles');
    expect([refused.status, (await problemOf(refused)).code]).toEqual([429, 'rate_limited']);
    const wait = Number(refused.headers.get('retry-after'));
    expect(wait).toBeGreaterThan(0);
    expect(wait).toBeLessThanOrEqual(60);
    expect(refused.headers.get('ratelimit-reset')).toBe(refused.headers.get('retry-after'));
    await stopAll();
  });

  test('a window ends: requests are admitted again, as many as before', async () => {
    await flush();
    const gateway = await start({ anonymousMax: 5, windowSeconds: 2 });
    expect(await admitted([gateway], 10)).toBe(5);
    // Asking would count: what was admitted last has to be a window, and the hundredth it may be rounded up by, old.
    const endsAt = Date.now() + 2_000 * 1.01;
    await eventually(() => Date.now() > endsAt);
    expect(await admitted([gateway], 10)).toBe(5);
    await stopAll();
  });

  test('a token that is not valid counts by address, so that changing it gives no more', async () => {
    await flush();
    const gateway = await start({ anonymousMax: 10 });
    const statuses = await Promise.all(
      Array.from({ length: 30 }, async (_, i) => {
        const headers = { authorization: `Bearer a.b.${i}`, 'x-forwarded-for': `10.0.0.${i}` };
        return (await gateway.fetch('/api/roles', { headers })).status;
      }),
    );
    expect(statuses.filter((status) => status === 401).length).toBe(10);
    expect(statuses.filter((status) => status === 429).length).toBe(20);
    await stopAll();
  });

  test('with one trusted hop the address that the proxy added counts, whatever the client wrote before it', async () => {
    await flush();
    const gateway = await start({ anonymousMax: 3, trustedProxyHops: 1 });
    const from = async (forwarded: string) =>
      (await gateway.fetch('/api/roles', { headers: { 'x-forwarded-for': forwarded } })).status;
    const first = [
      await from('198.51.100.1'),
      await from('10.9.9.9, 198.51.100.1'),
      await from('10.8.8.8, 198.51.100.1'),
    ];
    expect(first).toEqual([401, 401, 401]);
    expect(await from('10.7.7.7, 198.51.100.1')).toBe(429);
    expect(await from('198.51.100.2')).toBe(401);
    const v6 = [await from('2001:db8:1:2::1'), await from('2001:db8:1:2:ffff::9'), await from('2001:db8:1:2:0:0:0:3')];
    expect(v6).toEqual([401, 401, 401]);
    expect(await from('2001:db8:1:2:abcd::4')).toBe(429);
    expect(await from('2001:db8:1:3::1')).toBe(401);
    await stopAll();
  });

  test('a route with a limit of its own is stricter, shared by two gateways exactly, and leaves the rest alone', async () => {
    await flush();
    const options = { anonymousMax: 50 };
    const gateways = [await start(options), await start(options)];
    servers.peers.answer('identity.session.login.v1', () => {
      throw new AppError('invalid_credentials');
    });
    const body = json({ email: 'a@example.com', password: 'not the password' });
    const attempts = await Promise.all(
      Array.from({ length: 30 }, async (_, i) =>
        gateways[i % 2]?.fetch('/api/auth/login', { method: 'POST', ...body }),
      ),
    );
    const count = (status: number) => attempts.filter((response) => response?.status === status).length;
    expect([count(401), count(429)]).toEqual([15, 15]);
    const refused = attempts.find((response) => response?.status === 429);
    expect(refused?.headers.get('ratelimit')).toMatch(/"login";r=0;t=\d+$/);
    expect(Number(refused?.headers.get('retry-after'))).toBeGreaterThan(890);
    expect(Number(refused?.headers.get('retry-after'))).toBeLessThanOrEqual(900);
    // What was refused there has not been counted here.
    expect(await admitted(gateways, 50)).toBe(35);
    await stopAll();
  });

  test('an operator’s limit for a route replaces the built-in one, and one for no route stops the start', async () => {
    await flush();
    const gateway = await start({ anonymousMax: 50, routeLimits: { refresh: { max: 2, windowSeconds: 60 } } });
    const refresh = () => gateway.fetch('/api/auth/refresh', { method: 'POST', ...json({}) });
    expect((await refresh()).headers.get('ratelimit-policy')).toBe('"address";q=50;w=900, "refresh";q=2;w=60');
    expect([(await refresh()).status, (await refresh()).status]).toEqual([400, 429]);
    await stopAll();
    await expect(start({ routeLimits: { refersh: { max: 2 } } })).rejects.toThrow('refersh');
  });

  test('a stranger cannot use up what a guarded route allows', async () => {
    await flush();
    const gateway = await start({ anonymousMax: 50, principalMax: 100 });
    for (let i = 0; i < 5; i++) expect((await gateway.fetch('/api/audit/export')).status).toBe(401);
    const allowed = await gateway.fetch('/api/audit/export', { headers: newUser(servers.key).headers });
    expect([allowed.status, allowed.headers.get('ratelimit-policy')]).toEqual([
      403,
      '"principal";q=100;w=900, "audit-export";q=1;w=900',
    ]);
    await stopAll();
  });

  test('with two trusted hops the address that the first of them added counts, and no further', async () => {
    await flush();
    const gateway = await start({ anonymousMax: 2, trustedProxyHops: 2 });
    const from = async (forwarded: string) =>
      (await gateway.fetch('/api/roles', { headers: { 'x-forwarded-for': forwarded } })).status;
    expect(await from('198.51.100.1, 203.0.113.200')).toBe(401);
    expect(await from('10.9.9.9, 198.51.100.1, 203.0.113.201')).toBe(401);
    expect(await from('10.8.8.8, 10.9.9.9, 198.51.100.1, 203.0.113.202')).toBe(429);
    expect(await from('198.51.100.2, 203.0.113.200')).toBe(401);
    // The same IPv4 address in IPv6's clothes, in both spellings.
    expect(await from('::ffff:c633:6402, 203.0.113.200')).toBe(401);
    expect(await from('::ffff:198.51.100.2, 203.0.113.200')).toBe(429);
    // Fewer entries than proxies: the client has left one out, and what is there is not taken for more than it is.
    expect([await from('203.0.113.9'), await from('203.0.113.9'), await from('203.0.113.9')]).toEqual([401, 401, 429]);
    await stopAll();
  });

  test('the pages of the documentation are counted as any other public route', async () => {
    await flush();
    const gateway = await start({ anonymousMax: 3 });
    const page = async (path: string) => (await gateway.fetch(path)).status;
    expect([await page('/api/docs'), await page('/api/docs/swagger-ui-bundle.js')]).toEqual([200, 200]);
    expect([await page('/api/docs-json'), await page('/api/docs')]).toEqual([200, 429]);
    await stopAll();
  });

  test('a client that is over its limit cannot make the gateway ask rbac, and learns nothing of what rbac says', async () => {
    await flush();
    const gateway = await start({ principalMax: 5 });
    const { headers } = newUser(servers.key);
    expect(await admitted([gateway], 20, headers)).toBe(5);
    const asked = () => servers.peers.calls('rbac.access.decide.v1').length;
    const before = asked();
    expect(await admitted([gateway], 50, headers)).toBe(0);
    // Not even a permission that the client does not have tells it more than that.
    expect((await gateway.fetch('/api/users', { headers })).status).toBe(429);
    expect(asked()).toBe(before);
    await stopAll();
  });

  test('health and keys are not counted', async () => {
    await flush();
    const gateway = await start({ anonymousMax: 1 });
    for (const path of ['/health/liveness', '/health/readiness', '/.well-known/jwks.json']) {
      for (let i = 0; i < 3; i++) expect([path, (await gateway.fetch(path)).status]).toEqual([path, 200]);
    }
    await stopAll();
  });
});

describe('without Redis', () => {
  test('the limit is local and stricter, never absent, answers stay quick, and it is shared again afterwards', async () => {
    await flush();
    const gateways = [await start({ anonymousMax: 40 }), await start({ anonymousMax: 40 })];
    await servers.redis.kill();
    const count = await admitted(gateways, 200);
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThanOrEqual(40);
    const ready = await gateways[0]?.fetch('/health/readiness');
    expect([ready?.status, await ready?.json()]).toEqual([200, { status: 'ready', failing: [], degraded: ['redis'] }]);
    await servers.redis.restart();
    await eventually(async () => {
      const response = await gateways[0]?.fetch('/api/roles');
      return response?.headers.get('ratelimit-limit') === '40';
    });
    await stopAll();
  });

  test('rbac is asked for nobody who is over the limit', async () => {
    await flush();
    const gateway = await start({ principalMax: 10 });
    await servers.redis.kill();
    await eventually(async () => (await gateway.fetch('/api/roles')).headers.get('ratelimit-limit') !== null);
    const asked = () => servers.peers.calls('rbac.access.decide.v1').length;
    const { headers } = newUser(servers.key);
    const before = asked();
    // One after the other: equal questions of one moment would be asked once.
    let count = 0;
    for (let i = 0; i < 20; i++) count += await admitted([gateway], 1, headers);
    expect(count).toBe(5);
    expect(asked() - before).toBe(5);
    await servers.redis.restart();
    await stopAll();
  });

  test('a Redis that hangs costs a moment and no request', async () => {
    await flush();
    const gateway = await start({ anonymousMax: 40 });
    servers.redis.pause();
    try {
      const startedAt = performance.now();
      const statuses = await Promise.all(
        Array.from({ length: 10 }, async () => (await gateway.fetch('/api/roles')).status),
      );
      expect(new Set(statuses)).toEqual(new Set([401]));
      expect(performance.now() - startedAt).toBeLessThan(1_500);
    } finally {
      servers.redis.resume();
    }
    await stopAll();
  });
});
