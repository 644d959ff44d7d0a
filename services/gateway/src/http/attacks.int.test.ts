import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { AppError } from '@prime-nest/contracts/errors';
import { hostileBodies, hostileTexts } from '../../test/hostile-texts.js';
import { raw as sendRaw, statusOf } from '../../test/raw.js';
import { allowOnly, effectAt, json, newUser, problemOf, startGateway, startServers } from '../../test/harness.js';
import type { Gateway, Servers, TestUser } from '../../test/harness.js';

let servers: Servers;
let gateway: Gateway;
let user: TestUser;

const role = {
  id: '0193b2a8-7e30-7a5c-9f86-4bac3d9e1a23',
  name: 'x',
  description: '',
  isActive: true,
  receivesNewPermissions: false,
  version: 3,
  createdAt: '2026-01-31T09:30:00.000Z',
  updatedAt: '2026-01-31T09:30:00.000Z',
};

beforeAll(async () => {
  servers = await startServers();
  allowOnly(servers.peers, ['rbac:view', 'rbac:create', 'rbac:edit', 'rbac:delete']);
  servers.peers.answer('rbac.role.list.v1', () => ({ data: [role], total: 1 }));
  servers.peers.answer('rbac.role.create.v1', () => ({ role, effect: effectAt(8) }));
  servers.peers.answer('rbac.role.update.v1', () => ({ role, effect: effectAt(9) }));
  gateway = await startGateway(servers);
  user = newUser(servers.key);
});
afterAll(async () => {
  await gateway?.stop();
  await servers?.stop();
});

/** `@token` stands for the token of the user, who does not exist yet when the tables of tests are made. */
const request = (line: string, headers: string[] = [], body = '') =>
  `${line} HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\nAuthorization: Bearer @token\r\n${headers.map((header) => `${header}\r\n`).join('')}\r\n${body}`;
const raw = (bytes: string, ms?: number) => sendRaw(gateway.port, bytes.replace('@token', user.token), ms);

const send = (body: string | Buffer, headers: Record<string, string> = {}) =>
  gateway.fetch('/api/roles', {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...user.headers, ...headers },
    body,
  });

function expectClean(text: string): void {
  expect(text).not.toMatch(/node_modules|\bat .*\.js|fastify|nestjs|select |postgres|x-powered-by/i);
}

describe('bodies', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
  const cases: [string, string | Buffer, number, string][] = [
    ['malformed', '{"name":', 400, 'malformed_json'],
    ['empty', '', 400, 'malformed_json'],
    ['only white space', '   ', 400, 'malformed_json'],
    ['with a byte order mark', '\ufeff{"name":"x"}', 400, 'malformed_json'],
    ['not UTF-8', Buffer.from([0x7b, 0x22, 0x6e, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 400, 'malformed_json'],
    ['a member twice', '{"name":"x","name":"y"}', 400, 'malformed_json'],
    ['a member twice, once escaped', '{"name":"x","n\\u0061me":"y"}', 400, 'malformed_json'],
    ['__proto__', '{"name":"x","__proto__":{"isAdmin":true}}', 400, 'malformed_json'],
    ['__proto__, escaped', '{"name":"x","\\u005f_proto__":{"isAdmin":true}}', 400, 'malformed_json'],
    ['__proto__, deep inside', '{"name":"x","description":{"a":[{"__proto__":1}]}}', 400, 'malformed_json'],
    ['constructor.prototype', '{"name":"x","constructor":{"prototype":{"a":1}}}', 400, 'validation_failed'],
    ['NUL in a text', '{"name":"a\\u0000b"}', 400, 'malformed_json'],
    ['a lone surrogate', '{"name":"\\ud800"}', 400, 'malformed_json'],
    ['nested 33 deep', nested(33), 400, 'malformed_json'],
    ['nested 30,000 deep', nested(30_000), 400, 'malformed_json'],
    ['an array', '[]', 400, 'validation_failed'],
    ['null', 'null', 400, 'validation_failed'],
    ['a number', '7', 400, 'validation_failed'],
    ['NaN', '{"name":NaN}', 400, 'malformed_json'],
    ['a comment', '{"name":"x"/**/}', 400, 'malformed_json'],
    ['an unknown field', '{"name":"x","isAdmin":true}', 400, 'validation_failed'],
    ['a wrong type', '{"name":{"$ne":null}}', 400, 'validation_failed'],
    ['a name of 64 KiB', `{"name":"${'a'.repeat(65_000)}"}`, 400, 'validation_failed'],
    ['over 64 KiB', `{"name":"${'a'.repeat(70_000)}"}`, 413, 'body_too_large'],
  ];

  test.each(cases)(
    '%s is refused as the problem it is, and no service hears of it',
    async (_name, body, status, code) => {
      servers.peers.forget();
      const response = await send(body);
      const text = await response.text();
      const problem = JSON.parse(text) as Record<string, unknown>;
      expect([response.status, problem['code']]).toEqual([status, code]);
      expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
      expect(problem).toMatchObject({
        status,
        correlationId: response.headers.get('x-correlation-id'),
        traceId: response.headers.get('x-trace-id'),
      });
      expect(text).not.toContain('aaaaaaaa');
      expectClean(text);
      expect(servers.peers.calls('rbac.role.create.v1')).toEqual([]);
    },
  );

  test('a good body is accepted, with its revision, version and place', async () => {
    const response = await send('{"name":"x"}');
    expect([response.status, await response.json()]).toEqual([201, role]);
    expect(response.headers.get('x-revision')).toBe('8');
    expect(response.headers.get('etag')).toBe('"3"');
    expect(response.headers.get('location')).toBe(`/api/roles/${role.id}`);
  });

  test.each([
    ['text/plain', {}],
    ['application/x-www-form-urlencoded', {}],
    ['multipart/form-data; boundary=x', {}],
    ['application/json; charset=utf-16', {}],
    ['application/jsonp', {}],
    ['application/problem+json', {}],
    ['application/json, text/plain', {}],
    ['application/json', { 'content-encoding': 'gzip' }],
  ])('the content type %s %o is refused with 415', async (type, more) => {
    const response = await send('{"name":"x"}', { 'content-type': type, ...more });
    expect([response.status, (await problemOf(response)).code]).toEqual([415, 'unsupported_media_type']);
  });

  test.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON;charset=UTF-8'])(
    'the content type %s is accepted',
    async (type) => {
      expect((await send('{"name":"x"}', { 'content-type': type })).status).toBe(201);
    },
  );

  test('an unknown field is named only if it could be one', async () => {
    const named = await problemOf(await send('{"name":"x","isAdmin":true}'));
    expect(named['violations']).toEqual([{ pointer: '/isAdmin', message: 'is not a known field' }]);
    const hidden = await problemOf(await send('{"name":"x","<script>alert(1)</script>":true}'));
    expect(JSON.stringify(hidden)).not.toContain('script');
  });

  test('an endless chunked body ends with 413', async () => {
    const chunk = `4000\r\n${'a'.repeat(0x4000)}\r\n`;
    const answer = await raw(
      request('POST /api/roles', ['Content-Type: application/json', 'Transfer-Encoding: chunked'], chunk.repeat(10)),
    );
    expect(statusOf(answer)).toBe(413);
  });

  test('whoever is still sending a refused body reads why, and nothing in it is a request', async () => {
    servers.peers.forget();
    const hidden = 'GET /api/roles HTTP/1.1\r\nHost: x\r\n\r\n';
    const body = hidden.repeat(Math.ceil((10 * 2 ** 20) / hidden.length));
    const head = ['Content-Type: application/json', `Content-Length: ${body.length}`, 'Connection: close'];
    const bytes = request('POST /api/roles', head, body);
    const answers = await Promise.all(Array.from({ length: 16 }, () => raw(bytes)));
    expect(answers.map(statusOf)).toEqual(Array.from({ length: 16 }, () => 413));
    expect(answers.filter((answer) => answer.split('HTTP/1.1 ').length !== 2)).toEqual([]);
    expect(servers.peers.calls('rbac.role.list.v1')).toEqual([]);
  });

  test('a declared length of 10 MB is refused before it is sent', async () => {
    const answer = await raw(
      request('POST /api/roles', ['Content-Type: application/json', 'Content-Length: 10485760'], 'a'),
    );
    expect(statusOf(answer)).toBe(413);
  });
});

describe('paths and methods lead to the same decision or to 404 and 405', () => {
  test.each([
    '//api/roles',
    '/api//roles',
    '/api/./roles',
    '/api/x/../roles',
    '/api/roles/',
    '/API/roles',
    '/api/Roles',
    '/api%2froles',
    '/api/roles%00',
    '/api/roles;v=1',
    '/api/roles%20',
    '/api/roles.json',
    '/./api/roles',
    '\\api\\roles',
    '*',
  ])('GET %s without a token never shows the list', async (path) => {
    servers.peers.forget();
    const answer = await raw(`GET ${path} HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n`);
    expect([400, 401, 404]).toContain(statusOf(answer));
    expect(servers.peers.calls('rbac.role.list.v1')).toEqual([]);
    expectClean(answer);
  });

  test('the absolute form is the same address: 401 without, 200 with a token', async () => {
    const bare = 'GET http://gateway.test/api/roles HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n';
    expect(statusOf(await raw(bare))).toBe(401);
    expect(statusOf(await raw(request('GET http://gateway.test/api/roles')))).toBe(200);
  });

  test.each([
    ['PATCH', '/api/roles', 'GET, HEAD, POST'],
    ['DELETE', '/api/auth/login', 'POST'],
    ['GET', '/api/auth/login', 'POST'],
    ['PUT', '/health/liveness', 'GET, HEAD'],
    ['POST', `/api/roles/${role.id}`, 'DELETE, GET, HEAD, PUT'],
  ])('%s %s answers 405 and names what is allowed', async (method, path, allowed) => {
    const response = await gateway.fetch(path, { method, headers: user.headers });
    expect([response.status, (await problemOf(response)).code]).toEqual([405, 'method_not_allowed']);
    expect(response.headers.get('allow')).toBe(allowed);
  });

  test.each(['TRACE', 'PROPFIND', 'LOCK', 'OPTIONS'])('%s on a guarded address is no way in', async (method) => {
    const answer = await raw(request(`${method} /api/roles`));
    expect([404, 405]).toContain(statusOf(answer));
    expectClean(answer);
  });

  test('HEAD is decided as GET is', async () => {
    expect((await gateway.fetch('/api/roles', { method: 'HEAD' })).status).toBe(401);
    expect((await gateway.fetch('/api/roles', { method: 'HEAD', headers: user.headers })).status).toBe(200);
  });

  test('a method override header changes nothing', async () => {
    servers.peers.forget();
    const headers = { ...user.headers, 'x-http-method-override': 'DELETE', 'x-method-override': 'DELETE' };
    expect((await gateway.fetch('/api/roles', { headers })).status).toBe(200);
    expect(servers.peers.calls('rbac.role.delete.v1')).toEqual([]);
  });

  test('an unknown address answers 404 whether or not there is a token', async () => {
    for (const headers of [{}, user.headers]) {
      const response = await gateway.fetch('/api/nothing', { headers });
      expect([response.status, (await problemOf(response)).code]).toEqual([404, 'route_not_found']);
    }
  });

  test.each([
    'limit=0',
    'limit=101',
    'limit=1e1',
    'limit=',
    'limit=1&limit=2',
    'limit[]=1',
    'admin=true',
    'search=%00',
    'offset=-1',
  ])('the query %s is refused', async (query) => {
    const response = await gateway.fetch(`/api/roles?${query}`, { headers: user.headers });
    expect([response.status, (await problemOf(response)).code]).toEqual([400, 'validation_failed']);
  });

  test.each(['"x"', 'W/"3"', '3', '"3", "4"', '"0"', '"03"'])('If-Match %s is refused', async (tag) => {
    const response = await gateway.fetch(`/api/roles/${role.id}`, {
      method: 'PUT',
      ...json({ name: 'x' }),
      headers: { 'content-type': 'application/json', ...user.headers, 'if-match': tag },
    });
    expect([response.status, (await problemOf(response)).code]).toEqual([400, 'bad_request']);
  });

  test('If-Match is the expected version', async () => {
    servers.peers.forget();
    const response = await gateway.fetch(`/api/roles/${role.id}`, {
      method: 'PUT',
      ...json({ name: 'x' }),
      headers: { 'content-type': 'application/json', ...user.headers, 'if-match': '"3"' },
    });
    expect(response.status).toBe(200);
    expect(servers.peers.calls('rbac.role.update.v1')[0]?.request).toMatchObject({ id: role.id, version: 3 });
  });
});

describe('messages that are hardly HTTP', () => {
  const length = 'Content-Length: 12';
  test.each([
    ['two lengths', request('POST /api/roles', [length, 'Content-Length: 5'], '{"name":"x"}')],
    ['length and chunks', request('POST /api/roles', [length, 'Transfer-Encoding: chunked'], '0\r\n\r\n')],
    ['a bad length', request('POST /api/roles', ['Content-Length: 1x'], '{}')],
    ['a space before the colon', request('GET /api/roles', ['X-A : b'])],
    ['NUL in a header', request('GET /api/roles', ['X-A: a\0b'])],
    ['a folded header', request('GET /api/roles', ['X-A: a\r\n b: c', ' x'])],
    ['garbage', '\x16\x03\x01\x02\x00\x01\x00\r\n\r\n'],
    ['a 1 MB header', request('GET /api/roles', [`X-A: ${'a'.repeat(1_000_000)}`])],
    [
      '5,000 headers',
      request(
        'GET /api/roles',
        Array.from({ length: 5_000 }, (_, i) => `X-${i}: 1`),
      ),
    ],
    ['an address of 100 KB', request(`GET /api/roles?search=${'a'.repeat(100_000)}`)],
  ])('%s is answered with a 4xx problem and the connection is closed', async (_name, bytes) => {
    const answer = await raw(bytes);
    expect([400, 413, 414, 431]).toContain(statusOf(answer));
    expect(answer).toContain('application/problem+json');
    expectClean(answer);
  });

  test('two Authorization headers are refused, whichever of them is good', async () => {
    const good = `Authorization: Bearer ${user.token}`;
    for (const other of [good, 'Authorization: Bearer x', 'authorization: Basic eA==']) {
      expect(statusOf(await raw(request('GET /api/roles', [other])))).toBe(401);
    }
    expect(statusOf(await raw(request('GET /api/roles')))).toBe(200);
  });

  test('an address that cannot be decoded is a problem with ids and headers like any other', async () => {
    const response = await gateway.fetch('/api/roles/%E0%A4%A');
    expect([response.status, (await problemOf(response)).code]).toEqual([400, 'bad_request']);
    expect(response.headers.get('x-correlation-id')).toBeTruthy();
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
  });
});

describe('texts and bodies that break programs', () => {
  const answered = async (path: string, body: string) => {
    const init = { method: 'POST', headers: { 'content-type': 'application/json', ...user.headers }, body };
    const response = await gateway.fetch(path, init);
    expectClean(await response.text());
    return response.status;
  };

  test('no text in any field is an error of ours, and a role keeps exactly the text that was sent', async () => {
    servers.peers.answer('identity.session.login.v1', () => {
      throw new AppError('invalid_credentials');
    });
    servers.peers.forget();
    const found = new Set<number>();
    const kept = new Map<string, string>();
    const queue = hostileTexts.entries();
    const worker = async () => {
      for (const [i, text] of queue) {
        const login = { email: text, password: text, device_token: text };
        found.add(await answered('/api/auth/login', JSON.stringify(login)));
        const created = await answered('/api/roles', JSON.stringify({ name: `text ${i}`, description: text }));
        found.add(created);
        if (created === 201) kept.set(`text ${i}`, text.trim());
        const search = encodeURIComponent(Buffer.from(text).toString());
        if (search.length > 8_000) continue;
        found.add((await gateway.fetch(`/api/roles?search=${search}`, { headers: user.headers })).status);
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    const calls = servers.peers.calls('rbac.role.create.v1').map(({ request: sent }) => sent);
    const received = (calls as { name: string; description: string }[]).map(
      ({ name, description }) => [name, description.trim()] as const,
    );
    expect(new Map(received)).toEqual(kept);
    expect([...found].sort()).toEqual([200, 201, 400, 401, 413].filter((status) => found.has(status)));
  });

  test('no body that is not what it claims to be passes, and none is an error of ours', async () => {
    for (const body of hostileBodies)
      expect([body.slice(0, 60), await answered('/api/roles', body)]).toEqual([body.slice(0, 60), 400]);
  });
});
