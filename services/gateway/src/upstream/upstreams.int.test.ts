import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { ReplayMemory } from '@prime-nest/assertion/replay-memory';
import { allowOnly, newUser, problemOf, startGateway, startServers } from '../../test/harness.js';
import type { Gateway, Servers, TestUser } from '../../test/harness.js';
import { raw as sendRaw, statusOf } from '../../test/raw.js';
import { answerJson, judge, routeFile, startUpstream } from '../../test/upstream.js';
import type { TestUpstream } from '../../test/upstream.js';

let servers: Servers;
let upstream: TestUpstream;
let routes: Awaited<ReturnType<typeof routeFile>>;
let gateway: Gateway;
let user: TestUser;

const json = { 'content-type': 'application/json' };

beforeAll(async () => {
  servers = await startServers();
  allowOnly(servers.peers, ['invoices:view', 'invoices:create']);
  upstream = await startUpstream();
  const target = { upstream: 'invoices' };
  routes = await routeFile({
    upstreams: { invoices: { url: `${upstream.url}/v1` } },
    routes: [
      {
        methods: ['GET'],
        path: '/invoices',
        access: { permission: 'invoices:view' },
        target,
        request: { query: ['limit', 'search'], headers: ['x-draft'] },
        response: { headers: ['location', 'x-total'] },
      },
      { methods: ['GET'], path: '/invoices/:id', access: { permission: 'invoices:view' }, target },
      { methods: ['GET'], path: '/invoices/export', access: { permission: 'invoices:export' }, target },
      {
        methods: ['POST'],
        path: '/invoices',
        access: { permission: 'invoices:create' },
        target,
        request: { bodyBytesMax: 1000, contentTypes: ['application/json', 'text/csv'] },
        response: { headers: ['location'], cookies: true },
      },
      { methods: ['GET'], path: '/invoices/mine/list', access: 'authenticated', target },
      {
        methods: ['GET'],
        path: '/invoices/seldom/list',
        access: 'authenticated',
        target,
        rateLimit: { max: 2, windowSeconds: 60 },
      },
      { methods: ['GET'], path: '/catalog', access: 'public', target, response: { bytesMax: 100 } },
    ],
  });
  gateway = await startGateway(servers, { routesFile: routes.file });
  user = newUser(servers.key);
});
afterAll(async () => {
  await gateway?.stop();
  await upstream?.stop();
  await routes?.remove();
  await servers?.stop();
});
beforeEach(() => {
  upstream.received.length = 0;
  upstream.answer = answerJson;
});

const raw = (bytes: string) => sendRaw(gateway.port, bytes.replaceAll('@token', user.token));
const request = (line: string, headers: readonly string[] = [], body = '') =>
  `${line} HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\nAuthorization: Bearer @token\r\n${headers.map((header) => `${header}\r\n`).join('')}\r\n${body}`;

describe('a route of the route file', () => {
  test('is decided like any other: 401 without a token, 403 without the permission, passed on with it', async () => {
    expect((await gateway.fetch('/api/invoices/7')).status).toBe(401);
    const denied = await gateway.fetch('/api/invoices/export', { headers: user.headers });
    expect([denied.status, (await problemOf(denied)).code]).toEqual([403, 'forbidden']);
    expect(upstream.received).toEqual([]);
    const allowed = await gateway.fetch('/api/invoices/7', { headers: user.headers });
    expect([allowed.status, await allowed.json()]).toEqual([200, { ok: true }]);
    expect(upstream.received.map(({ method, url }) => [method, url])).toEqual([['GET', '/v1/invoices/7']]);
  });

  test('that is public needs nobody, and one that is authenticated only a token', async () => {
    expect((await gateway.fetch('/api/catalog')).status).toBe(200);
    expect((await gateway.fetch('/api/invoices/mine/list')).status).toBe(401);
    expect((await gateway.fetch('/api/invoices/mine/list', { headers: user.headers })).status).toBe(200);
  });

  test('with a rate limit of its own is held to it, for each caller, and other routes are not', async () => {
    const another = newUser(servers.key);
    const statuses = async ({ headers }: TestUser) => {
      const found: number[] = [];
      for (let i = 0; i < 3; i++) found.push((await gateway.fetch('/api/invoices/seldom/list', { headers })).status);
      return found;
    };
    expect(await statuses(user)).toEqual([200, 200, 429]);
    expect(await statuses(another)).toEqual([200, 200, 429]);
    expect((await gateway.fetch('/api/invoices/7', { headers: user.headers })).status).toBe(200);
  });

  test('is in the API document, with its permission and its problems', async () => {
    const document = (await (await gateway.fetch('/api/docs-json')).json()) as {
      paths: Record<string, Record<string, Record<string, unknown>>>;
    };
    const operation = document.paths['/api/invoices/{id}']?.['get'];
    expect(operation).toMatchObject({ 'x-permission': 'invoices:view', security: [{ accessToken: [] }] });
    expect(Object.keys(operation?.['responses'] as object)).toEqual(
      expect.arrayContaining(['2XX', '401', '403', '429', '502', '503', '504']),
    );
    expect(document.paths['/api/catalog']?.['get']?.['security']).toBeUndefined();
    expect(document.paths['/api/roles']?.['get']).toBeDefined();
    expect(document.paths['/api/*']).toBeUndefined();
  });

  test('hides nothing of ours: own routes, 404 and 405 are as before', async () => {
    expect((await gateway.fetch('/health/readiness')).status).toBe(200);
    expect((await gateway.fetch('/api/roles')).status).toBe(401);
    const unknown = await gateway.fetch('/api/nothing', { headers: user.headers });
    expect([unknown.status, (await problemOf(unknown)).code]).toEqual([404, 'route_not_found']);
    const method = await gateway.fetch('/api/invoices', { method: 'DELETE', headers: user.headers });
    expect([method.status, (await problemOf(method)).code]).toEqual([405, 'method_not_allowed']);
    expect(method.headers.get('allow')).toBe('GET, HEAD, POST');
    const own = await gateway.fetch('/api/roles', { method: 'PATCH', headers: user.headers });
    expect([own.status, own.headers.get('allow')]).toEqual([405, 'GET, HEAD, POST']);
  });
});

describe('what the service learns', () => {
  test('is who calls, by an assertion for this very request, and nothing of the access token', async () => {
    await gateway.fetch('/api/invoices', {
      method: 'POST',
      headers: { ...json, ...user.headers, cookie: 'sid=1', 'x-user-id': 'root', 'prime-nest-assertion': 'forged' },
      body: '{"total":1}',
    });
    const [seen] = upstream.received;
    if (seen === undefined) throw new Error('nothing arrived');
    expect(JSON.stringify(seen)).not.toContain(user.token);
    expect(await judge(gateway, seen, { audience: 'invoices' })).toEqual({
      principal: { id: user.id, sessionId: user.sessionId, permission: 'invoices:create' },
    });
    expect(Object.keys(seen.headers).sort()).toEqual(
      [
        ...['accept', 'accept-language', 'connection', 'content-length', 'content-type', 'host'],
        ...['prime-nest-assertion', 'traceparent', 'x-correlation-id'],
      ].sort(),
    );
  });

  test('is refused by it for another audience, request, body, after its time, and the second time', async () => {
    await gateway.fetch('/api/invoices', { method: 'POST', headers: { ...json, ...user.headers }, body: '{"a":1}' });
    const [seen] = upstream.received;
    if (seen === undefined) throw new Error('nothing arrived');
    const replays = new ReplayMemory();
    const audience = 'invoices';
    expect(await judge(gateway, seen, { audience: 'payments', replays })).toEqual({ code: 'audience' });
    expect(await judge(gateway, { ...seen, url: '/v1/invoices/8' }, { audience, replays })).toEqual({
      code: 'other_request',
    });
    expect(await judge(gateway, { ...seen, method: 'PUT' }, { audience, replays })).toEqual({ code: 'other_request' });
    expect(await judge(gateway, { ...seen, body: '{"a":2}' }, { audience, replays })).toEqual({
      code: 'other_request',
    });
    const later = new Date(Date.now() + 31_000);
    expect(await judge(gateway, seen, { audience, replays, now: later })).toEqual({ code: 'expired' });
    expect(await judge(gateway, seen, { audience, replays })).toHaveProperty('principal');
    expect(await judge(gateway, seen, { audience, replays })).toEqual({ code: 'replayed' });
  });

  test('names nobody on a public route, even when a token came along', async () => {
    await gateway.fetch('/api/catalog', { headers: user.headers });
    const [seen] = upstream.received;
    if (seen === undefined) throw new Error('nothing arrived');
    expect(await judge(gateway, seen, { audience: 'invoices' })).toEqual({ principal: {} });
    expect(seen.headers['authorization']).toBeUndefined();
  });

  test('is in our trace and under our correlation id', async () => {
    const answer = await gateway.fetch('/api/invoices', {
      headers: { ...user.headers, 'x-correlation-id': 'order-4711' },
    });
    const [seen] = upstream.received;
    expect(seen?.headers['x-correlation-id']).toBe('order-4711');
    expect(String(seen?.headers['traceparent']).split('-')[1]).toBe(answer.headers.get('x-trace-id'));
  });

  test('is a named header and a named query parameter, never another', async () => {
    await gateway.fetch('/api/invoices?search=a%20b%2Bc%26x&limit=1', {
      headers: { ...user.headers, 'x-draft': 'yes', 'x-other': 'no' },
    });
    const [seen] = upstream.received;
    expect(seen?.url).toBe('/v1/invoices?search=a%20b%2Bc%26x&limit=1');
    expect([seen?.headers['x-draft'], seen?.headers['x-other']]).toEqual(['yes', undefined]);
    for (const query of [
      'admin=1',
      'limit=1&limit=2',
      'search=%00',
      'search=a%0d%0aX-Admin:%201',
      '&',
      'limit=%ff',
      '__proto__=1',
    ]) {
      const refused = await gateway.fetch(`/api/invoices?${query}`, { headers: user.headers });
      expect([query, refused.status, (await problemOf(refused)).code]).toEqual([query, 400, 'validation_failed']);
    }
    expect(upstream.received.length).toBe(1);
  });
});

describe('hostile requests', () => {
  test.each(
    [
      '/api/invoices/../roles',
      '/api/invoices/%2e%2e',
      '/api/invoices/%2e%2e%2fadmin',
      '/api/invoices/..%2f..%2fadmin',
      '/api/invoices/..%5cadmin',
      '/api/invoices/%252e%252e',
      '/api/invoices/%252fadmin',
      '/api/invoices/%c0%ae%c0%ae',
      '/api/invoices/a%00b',
      '/api/invoices/a%0d%0aX-Admin:%201',
      '/api/invoices/',
      '/api/invoices//7',
      '/api//invoices/7',
      '//api/invoices/7',
      '/api/./invoices/7',
      '/api/invoices/.',
      '/api/invoices/...',
      '/API/invoices/7',
      '/api/Invoices/7',
      '/api/invoices/7/',
      '/api/invoices/7#x',
      '/api/invoices\\7',
      `/api/invoices/${'a'.repeat(129)}`,
      '/api/invoices/7?',
    ].slice(0, -1),
  )('GET %s reaches nobody', async (path) => {
    const answer = await raw(request(`GET ${path}`));
    expect([400, 404]).toContain(statusOf(answer));
    expect(upstream.received).toEqual([]);
  });

  test.each([
    ['/api/invoices/7', '/v1/invoices/7'],
    ['/api/invoices/%37', '/v1/invoices/7'],
    ['/api/%69nvoices/7', '/v1/invoices/7'],
    ['/api/invoices/a%20b;c=%C3%A4', '/v1/invoices/a%20b%3Bc%3D%C3%A4'],
    ['http://elsewhere.test/api/invoices/7', '/v1/invoices/7'],
  ])('GET %s is the same request as its one spelling %s', async (path, url) => {
    expect(statusOf(await raw(request(`GET ${path}`)))).toBe(200);
    expect(upstream.received.map((seen) => seen.url)).toEqual([url]);
  });

  test.each(['/api/invoices/export', '/api/invoices/%65xport', '/api/invoices/expor%74'])(
    '%s needs the permission of the exception, however it is spelt',
    async (path) => {
      expect(statusOf(await raw(request(`GET ${path}`)))).toBe(403);
      expect(upstream.received).toEqual([]);
    },
  );

  test.each([
    [
      'length and chunks',
      ['Content-Type: application/json', 'Content-Length: 4', 'Transfer-Encoding: chunked'],
      '0\r\n\r\n',
    ],
    ['two lengths', ['Content-Type: application/json', 'Content-Length: 2', 'Content-Length: 4'], '{}'],
    ['chunks that are not', ['Content-Type: application/json', 'Transfer-Encoding: xchunked'], '0\r\n\r\n'],
    ['a folded header', ['X-A: a', ' b: c'], ''],
    ['NUL in a header', ['X-Draft: a\0b'], ''],
    ['a bare CR in a header', ['X-Draft: a\rX-Admin: 1'], ''],
    ['oversized headers', [`X-Draft: ${'a'.repeat(20_000)}`], ''],
  ])('%s: refused, nothing is sent on', async (_name, headers, body) => {
    const answer = await raw(request('POST /api/invoices', headers, body));
    expect([400, 431]).toContain(statusOf(answer));
    expect(upstream.received).toEqual([]);
  });

  test('a second request hidden in a body is part of the body', async () => {
    const hidden = '{"a":"GET /v1/admin HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"}';
    const headers = ['Content-Type: application/json', 'Transfer-Encoding: chunked'];
    const chunked = `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`;
    expect(statusOf(await raw(request('POST /api/invoices', headers, chunked)))).toBe(200);
    expect(
      upstream.received.map(({ body, headers: seen }) => [body, seen['content-length'], seen['transfer-encoding']]),
    ).toEqual([[hidden, String(hidden.length), undefined]]);
  });

  test('an upgrade is refused', async () => {
    const upgrade = request('GET /api/invoices/7', ['Upgrade: websocket']).replace(
      'Connection: close',
      'Connection: upgrade',
    );
    expect(statusOf(await raw(upgrade))).toBe(400);
    expect(statusOf(await raw(request('GET /api/invoices/7', ['Upgrade: h2c'])))).toBe(400);
    expect(upstream.received).toEqual([]);
  });

  test('a method override and what else proxies act on do not arrive', async () => {
    const names = [
      'x-http-method-override',
      'x-method-override',
      'x-original-url',
      'x-rewrite-url',
      'x-forwarded-for',
      'x-forwarded-host',
      'forwarded',
      'x-real-ip',
      'x-user-id',
      'te',
      'proxy-authorization',
      'authorization',
      'pn-actor',
    ];
    expect(
      statusOf(
        await raw(
          request(
            'GET /api/invoices/7',
            names.slice(0, -2).map((name) => `${name}: DELETE`),
          ),
        ),
      ),
    ).toBe(200);
    const [seen] = upstream.received;
    expect(seen?.method).toBe('GET');
    expect(names.filter((name) => seen?.headers[name] !== undefined)).toEqual([]);
  });

  test('a header that the connection header names is not what decides: only named headers pass', async () => {
    const answer = await raw(
      request('GET /api/invoices', ['X-Draft: yes']).replace(
        'Connection: close',
        'Connection: close, prime-nest-assertion, x-correlation-id',
      ),
    );
    expect(statusOf(answer)).toBe(200);
    expect(upstream.received[0]?.headers['prime-nest-assertion']).toBeDefined();
  });

  test('a body is held to its declaration', async () => {
    const post = (body: string, headers: Record<string, string> = json) =>
      gateway.fetch('/api/invoices', { method: 'POST', headers: { ...user.headers, ...headers }, body });
    const outcomes = [
      await post('{"a":1,"a":2}'),
      await post('{"a":'),
      await post('x'.repeat(2_000), { 'content-type': 'text/csv' }),
      await post('<a/>', { 'content-type': 'application/xml' }),
      await post('{}', { ...json, 'content-encoding': 'gzip' }),
    ];
    expect(outcomes.map(({ status }) => status)).toEqual([400, 400, 413, 415, 415]);
    expect(upstream.received).toEqual([]);
    const endless = `4000\r\n${'a'.repeat(0x4000)}\r\n`.repeat(4);
    expect(
      statusOf(
        await raw(request('POST /api/invoices', ['Content-Type: text/csv', 'Transfer-Encoding: chunked'], endless)),
      ),
    ).toBe(413);
    expect(
      statusOf(await raw(request('GET /api/invoices', ['Content-Type: application/json', 'Content-Length: 2'], '{}'))),
    ).toBe(400);
    expect(upstream.received).toEqual([]);
    expect((await post('a;b\n1;2', { 'content-type': 'text/csv' })).status).toBe(200);
    expect(upstream.received.map(({ body }) => body)).toEqual(['a;b\n1;2']);
  });
});
