import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@prime-nest/testkit/eventually';
import { allowOnly, newUser, problemOf, startGateway, startServers } from '../../test/harness.js';
import type { Gateway, Servers, TestUser } from '../../test/harness.js';
import { answerJson, routeFile, startUpstream } from '../../test/upstream.js';
import type { TestUpstream } from '../../test/upstream.js';

let servers: Servers;
let upstream: TestUpstream;
let other: TestUpstream;
let routes: Awaited<ReturnType<typeof routeFile>>;
let gateway: Gateway;
let user: TestUser;
const lines: string[] = [];

const route = (path: string, target: object, more: object = {}) => ({
  methods: ['GET', 'POST'],
  path,
  access: 'authenticated',
  target,
  timeoutMs: 400,
  ...more,
});
const content = (more: readonly object[] = []) => ({
  upstreams: {
    invoices: { url: upstream.url, concurrencyMax: 4 },
    other: { url: other.url },
    gone: { url: 'http://127.0.0.1:9' },
  },
  routes: [
    route(
      '/invoices',
      { upstream: 'invoices' },
      {
        response: { bytesMax: 1000, headers: ['location', 'x-total'], contentTypes: ['application/json', 'text/csv'] },
      },
    ),
    route('/cookies', { upstream: 'invoices' }, { response: { cookies: true } }),
    route('/other', { upstream: 'other' }),
    route('/gone', { upstream: 'gone' }),
    route('/asked/:id', { upstream: 'other', subject: 'ext.other.thing.get.v1' }, { request: { query: ['q'] } }),
    ...more,
  ],
});

beforeAll(async () => {
  servers = await startServers();
  allowOnly(servers.peers, []);
  upstream = await startUpstream();
  other = await startUpstream();
  routes = await routeFile(content());
  gateway = await startGateway(servers, { routesFile: routes.file, logTo: lines });
  user = newUser(servers.key);
});
afterAll(async () => {
  await gateway?.stop();
  await Promise.all([upstream?.stop(), other?.stop(), routes?.remove()]);
  await servers?.stop();
});
beforeEach(() => {
  upstream.received.length = 0;
  upstream.answer = answerJson;
});

const get = (path: string) => gateway.fetch(path, { headers: user.headers, redirect: 'manual' });
const outcome = async (path: string) => {
  const response = await get(path);
  return [response.status, (await problemOf(response)).code];
};

describe('an answer of a service', () => {
  test('is passed on with its own status and named headers, under our security headers', async () => {
    upstream.answer = (response) => {
      response.writeHead(201, {
        ...{
          'content-type': 'text/csv',
          'x-total': '3',
          'x-inner': 'secret',
          location: '/api/invoices/1',
          etag: '"1"',
        },
        ...{ 'set-cookie': 'a=b', 'access-control-allow-origin': '*', server: 'inner/1.0', 'cache-control': 'public' },
        ...{ 'content-security-policy': "default-src 'self'", 'x-frame-options': 'ALLOWALL', vary: '*' },
        ...{ 'strict-transport-security': 'max-age=0', 'x-correlation-id': 'mine', 'x-trace-id': 'mine' },
      });
      response.end('a;b');
    };
    const answer = await get('/api/invoices');
    expect([answer.status, await answer.text()]).toEqual([201, 'a;b']);
    const expected: Record<string, string | null> = {
      ...{ 'content-type': 'text/csv', 'x-total': '3', location: '/api/invoices/1', etag: '"1"' },
      ...{ 'x-inner': null, 'set-cookie': null, 'access-control-allow-origin': null, server: null },
      ...{ 'cache-control': 'no-store', 'x-frame-options': 'DENY', vary: 'Origin' },
      'content-security-policy': "default-src 'none';base-uri 'none';form-action 'none';frame-ancestors 'none'",
    };
    for (const [name, value] of Object.entries(expected))
      expect([name, answer.headers.get(name)]).toEqual([name, value]);
    expect(answer.headers.get('x-correlation-id')).not.toBe('mine');
    expect(answer.headers.get('x-trace-id')).not.toBe('mine');
    expect(answer.headers.get('strict-transport-security')).toContain('31536000');
  });

  test('sets cookies only where the route says so, and leads nowhere else', async () => {
    upstream.answer = (response) => {
      response.writeHead(200, { 'set-cookie': ['a=1', 'b=2'], location: '//elsewhere.test/' });
      response.end();
    };
    expect((await get('/api/cookies')).headers.getSetCookie()).toEqual(['a=1', 'b=2']);
    const answer = await get('/api/invoices');
    expect([answer.headers.getSetCookie(), answer.headers.get('location')]).toEqual([[], null]);
  });

  test.each([
    ['a 404 of its own', 404, 'application/json', [404, '{"x":1}']],
    ['a 409 as a problem document', 409, 'application/problem+json', [409, '{"x":1}']],
    ['a 422', 422, 'application/json; charset=utf-8', [422, '{"x":1}']],
  ])('%s is passed on', async (_name, status, type, expected) => {
    upstream.answer = (response) => response.writeHead(status, { 'content-type': type }).end('{"x":1}');
    const answer = await get('/api/invoices');
    expect([answer.status, await answer.text()]).toEqual(expected);
  });

  test.each([
    ['500 with a stack', 500, 'application/json', {}],
    ['502', 502, 'application/json', {}],
    ['a redirect', 302, 'application/json', { location: 'http://169.254.169.254/' }],
    ['its own 401', 401, 'application/json', {}],
    ['a type that is not declared', 200, 'text/html', {}],
    ['a JSON that is not UTF-8', 200, 'application/json; charset=utf-7', {}],
    ['a 404 page', 404, 'text/html', {}],
    ['a compressed body', 200, 'application/json', { 'content-encoding': 'gzip' }],
    ['no type', 200, '', {}],
  ])('%s is 502 and none of its text is shown', async (_name, status, type, headers) => {
    upstream.answer = (response) => {
      response.writeHead(status, { ...headers, ...(type === '' ? {} : { 'content-type': type }) });
      response.end('{"stack":"secret.js:1"}');
    };
    const answer = await get('/api/invoices');
    const text = await answer.text();
    expect([answer.status, (JSON.parse(text) as { code: string }).code]).toEqual([502, 'upstream_failed']);
    expect(text).not.toContain('secret');
  });

  test('503 is 503, and that is worth another try', async () => {
    upstream.answer = (response) => response.writeHead(503).end();
    const answer = await get('/api/invoices');
    expect([answer.status, (await problemOf(answer)).code]).toEqual([503, 'upstream_unavailable']);
    expect(answer.headers.get('retry-after')).toBe('1');
  });

  test.each([
    ['too large at once', 1_001],
    ['far too large', 3_000_000],
  ])('%s is 502, and the limit itself is not', async (_name, size) => {
    upstream.answer = (response) => response.writeHead(200, { 'content-type': 'text/csv' }).end('a'.repeat(size));
    expect(await outcome('/api/invoices')).toEqual([502, 'upstream_failed']);
    upstream.answer = (response) => response.writeHead(200, { 'content-type': 'text/csv' }).end('a'.repeat(1_000));
    expect((await get('/api/invoices')).status).toBe(200);
  });

  test('that breaks off is 502', async () => {
    upstream.answer = (response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
      response.write('{"a":');
      setImmediate(() => response.destroy());
    };
    expect(await outcome('/api/invoices')).toEqual([502, 'upstream_failed']);
  });

  test.each([
    ['is no HTTP', 'SSH-2.0-OpenSSH\r\n'],
    ['has a header with a line break in it', 'HTTP/1.1 200 OK\r\nX-Total: a\r\n b\x00c\r\n\r\n'],
    ['has two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    ['switches protocols', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
  ])('that %s is 502', async (_name, bytes) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.end(bytes));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await routes.write({ upstreams: { odd: { url } }, routes: [route('/odd', { upstream: 'odd' })] });
    await gateway.reloadRoutes();
    try {
      expect(await outcome('/api/odd')).toEqual([502, 'upstream_failed']);
    } finally {
      await routes.write(content());
      await gateway.reloadRoutes();
      server.close();
    }
  });
});

describe('a service that does not answer', () => {
  test('is 503 when nobody is there, 504 when it is silent, while others are served', async () => {
    expect(await outcome('/api/gone')).toEqual([503, 'upstream_unavailable']);
    upstream.answer = () => undefined;
    const silent = outcome('/api/invoices');
    expect((await get('/api/other')).status).toBe(200);
    expect(await silent).toEqual([504, 'upstream_timeout']);
    expect((await get('/api/asked/1')).status).toBe(503);
  });

  test('is asked no more after some silences, and again when it answers', async () => {
    upstream.answer = () => undefined;
    for (let i = 0; i < 5; i++) await get('/api/invoices');
    const before = upstream.received.length;
    expect(await outcome('/api/invoices')).toEqual([503, 'upstream_unavailable']);
    expect(upstream.received.length).toBe(before);
    expect((await get('/api/other')).status).toBe(200);
    upstream.answer = answerJson;
    await eventually(async () => (await get('/api/invoices')).status === 200);
  });

  test('holds up at most as many requests as its upstream may have under way', async () => {
    upstream.answer = () => undefined;
    const statuses = (await Promise.all(Array.from({ length: 12 }, () => get('/api/invoices')))).map(
      ({ status }) => status,
    );
    expect(statuses.filter((status) => status === 504).length).toBeLessThanOrEqual(4);
    expect(statuses.filter((status) => status === 503).length).toBeGreaterThanOrEqual(8);
    upstream.answer = answerJson;
    await eventually(async () => (await get('/api/invoices')).status === 200);
  });
});

describe('a new route file', () => {
  const digestOf = () =>
    lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => msg === 'routes.loaded')
      .at(-1)?.['digest'];

  test('takes effect as a whole, without a request that fails', async () => {
    const before = digestOf();
    let isOver = false;
    const statuses: number[] = [];
    const load = (async () => {
      while (!isOver) statuses.push((await get('/api/other')).status);
    })();
    expect((await get('/api/added')).status).toBe(404);
    await routes.write(content([route('/added', { upstream: 'other' })]));
    await gateway.reloadRoutes();
    expect((await get('/api/added')).status).toBe(200);
    expect(digestOf()).not.toBe(before);
    await routes.write(content());
    await gateway.reloadRoutes();
    expect((await get('/api/added')).status).toBe(404);
    expect(digestOf()).toBe(before);
    isOver = true;
    await load;
    expect(statuses.length).toBeGreaterThan(0);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
  });

  test('leaves a request that is under way to the file it was matched with', async () => {
    let release: () => void = () => undefined;
    upstream.answer = (response) => {
      release = () => answerJson(response);
    };
    const underWay = get('/api/invoices');
    await eventually(() => upstream.received.length === 1);
    await routes.write({ upstreams: {}, routes: [] });
    await gateway.reloadRoutes();
    expect((await get('/api/invoices')).status).toBe(404);
    release();
    expect((await underWay).status).toBe(200);
    await routes.write(content());
    await gateway.reloadRoutes();
  });

  test.each([
    ['is not JSON', '{'],
    [
      'opens a route by leaving its access out',
      { upstreams: {}, routes: [{ methods: ['GET'], path: '/x', target: { upstream: 'other' } }] },
    ],
  ])('that %s changes nothing and is named in the log', async (_name, bad) => {
    const before = digestOf();
    await routes.write(bad);
    await gateway.reloadRoutes();
    expect((await get('/api/other')).status).toBe(200);
    const refusal = lines.filter((line) => line.includes('"routes.refused"')).at(-1);
    expect(JSON.parse(refusal ?? '{}')).toMatchObject({
      level: expect.anything(),
      digest: before,
      problems: [expect.any(String)],
    });
    await routes.write(content());
    await gateway.reloadRoutes();
  });

  test('that is wrong at the start keeps the gateway from starting, with everything that is wrong', async () => {
    const bad = await routeFile({
      upstreams: { a: { url: 'http://a/../b' } },
      routes: [
        { methods: ['GET'], path: '/roles', access: 'public', target: { upstream: 'invoices' } },
        { methods: ['GET'], path: '/x', target: { upstream: 'invoices' } },
      ],
    });
    await expect(startGateway(servers, { routesFile: bad.file })).rejects.toThrow(/2 problem|3 problem/);
    await expect(startGateway(servers, { routesFile: `${bad.file}.gone` })).rejects.toThrow('cannot be read (ENOENT)');
    await bad.remove();
  });
});
