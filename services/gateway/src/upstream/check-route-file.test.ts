import { describe, expect, test } from '@jest/globals';
import { checkRouteFile } from './check-route-file.js';

const builtIn = {
  prefix: 'api',
  routes: ['GET /api/roles', 'PUT /api/roles/:id', 'GET /api/docs/*', 'GET /health/liveness'],
};
const upstreams = { invoices: { url: 'http://invoices:8080' } };
const good = {
  methods: ['GET'],
  path: '/invoices/:id',
  access: { permission: 'invoices:view' },
  target: { upstream: 'invoices' },
};
const check = (file: unknown) =>
  checkRouteFile(Buffer.from(typeof file === 'string' ? file : JSON.stringify(file)), builtIn);
const problems = (...routes: object[]) => {
  const checked = check({ upstreams, routes });
  return 'problems' in checked ? checked.problems : [];
};

describe('a route file', () => {
  test('that says everything is accepted, and what it leaves out is strict', () => {
    const checked = check({ upstreams, routes: [good] });
    expect(checked).toMatchObject({
      file: {
        routes: [
          {
            timeoutMs: 2_000,
            request: { bodyBytesMax: 65_536, contentTypes: ['application/json'], query: [], headers: [] },
            response: { contentTypes: ['application/json'], headers: [], cookies: false },
            audit: false,
          },
        ],
      },
    });
  });

  test.each([
    ['no access', { ...good, access: undefined }, 'GET /invoices/:id: access'],
    ['an access that does not exist', { ...good, access: 'everybody' }, 'GET /invoices/:id: access'],
    ['a permission that is none', { ...good, access: { permission: '*' } }, 'GET /invoices/:id: access'],
    ['two accesses', { ...good, access: { permission: 'a:b', public: true } }, 'GET /invoices/:id: access'],
    ['an unknown key', { ...good, accesss: 'public' }, 'GET /invoices/:id: accesss is not known here'],
    [
      'an unknown key inside',
      { ...good, request: { bodyBytes: 1 } },
      'GET /invoices/:id: request: bodyBytes is not known',
    ],
    ['an unknown method', { ...good, methods: ['TRACE'] }, 'TRACE /invoices/:id: methods'],
    ['a pattern in the path', { ...good, path: '/invoices/(.*)' }, 'GET /invoices/(.*): path'],
    ['a wildcard in the path', { ...good, path: '/invoices/*' }, 'GET /invoices/*: path'],
    ['dots in the path', { ...good, path: '/../admin' }, 'GET /../admin: path'],
    ['an encoded path', { ...good, path: '/a%2fb' }, 'GET /a%2fb: path'],
    ['a slash at the end', { ...good, path: '/invoices/' }, 'GET /invoices/: path'],
    ['a parameter twice', { ...good, path: '/a/:id/:id' }, 'a parameter is named twice'],
    ['a method twice', { ...good, methods: ['GET', 'GET'] }, 'methods: one is named twice'],
    ['no upstream of that name', { ...good, target: { upstream: 'other' } }, 'the upstream other is not in this file'],
    ['a url for a target', { ...good, target: { url: 'http://x' } }, 'GET /invoices/:id: target'],
    [
      'the subject of another upstream',
      { ...good, target: { upstream: 'invoices', subject: 'ext.other.a.v1' } },
      'must begin with ext.invoices.',
    ],
    [
      'a subject of ours',
      { ...good, target: { upstream: 'invoices', subject: 'rbac.role.create.v1' } },
      'target.subject',
    ],
    [
      'a subject with a wildcard',
      { ...good, target: { upstream: 'invoices', subject: 'ext.invoices.*' } },
      'target.subject',
    ],
    [
      'a token among passed headers',
      { ...good, request: { headers: ['authorization'] } },
      'authorization is not passed on',
    ],
    [
      'CORS among passed headers',
      { ...good, response: { headers: ['access-control-allow-origin'] } },
      'is decided by the gateway',
    ],
    ['a timeout of a minute', { ...good, timeoutMs: 60_000 }, 'timeoutMs'],
    ['a path of ours', { ...good, path: '/roles' }, "/api/roles belongs to the gateway's own API"],
    ['a path of ours under another method', { ...good, path: '/roles', methods: ['DELETE'] }, '/api/roles belongs to'],
    ['a path beside a parameter of ours', { ...good, path: '/roles/mine' }, '/api/roles/:id belongs to'],
    ['a parameter where a path of ours is', { ...good, path: '/:any' }, '/api/roles belongs to'],
    ['a path in the documentation', { ...good, path: '/docs/a/b' }, '/api/docs/* belongs to'],
  ])('with %s does not load, and the problem names the route', (_name, route, expected) => {
    expect(problems(good)).toEqual([]);
    expect(problems(route).join('\n')).toContain(expected);
  });

  test('of which two routes take the same request does not load', () => {
    expect(problems(good, good)).toEqual(['GET /invoices/:id: the same requests would fit GET /invoices/:id']);
    expect(problems(good, { ...good, path: '/invoices/:number' })).toHaveLength(1);
    expect(problems({ ...good, path: '/a/:x/c' }, { ...good, path: '/a/b/:y' })).toHaveLength(1);
    expect(problems(good, { ...good, methods: ['POST'] })).toEqual([]);
    expect(problems(good, { ...good, path: '/invoices/export' })).toEqual([]);
  });

  test.each([
    ['http://user:pw@invoices'],
    ['http://invoices/?a=b'],
    ['http://invoices/#a'],
    ['http://invoices/'],
    ['http://invoices/a/../b'],
    ['http://invoices/%2e%2e'],
    ['http://INVOICES'],
    ['ftp://invoices'],
    ['file:///etc/passwd'],
    ['http://invoices\\@elsewhere'],
    ['http://invoices/:id'],
    ['http://127.1'],
  ])('with the base %s does not load', (url) => {
    const checked = check({ upstreams: { invoices: { url } }, routes: [] });
    expect(checked).toEqual({ problems: [expect.stringContaining('upstreams.invoices.url')] });
  });

  test('tells all its problems at once', () => {
    expect(problems({ ...good, access: undefined, timeoutMs: 1 }, { ...good, methods: [] })).toHaveLength(3);
  });

  test.each([
    ['two members of one name', '{"upstreams":{},"routes":[],"routes":[]}', 'duplicate_member'],
    ['__proto__', '{"upstreams":{"__proto__":{}},"routes":[]}', 'forbidden_member'],
    ['a comment', '{"upstreams":{},/* */"routes":[]}', 'malformed'],
    ['more than 1 MiB', ' '.repeat(1024 * 1024 + 1), 'larger than'],
    ['nothing', '', 'malformed'],
  ])('with %s does not load', (_name, text, expected) => {
    expect(check(text)).toEqual({ problems: [expect.stringContaining(expected)] });
  });
});
