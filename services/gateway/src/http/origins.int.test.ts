import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { problemOf, startGateway, startServers } from '../../test/harness.js';
import type { Gateway, Servers } from '../../test/harness.js';

let servers: Servers;
let gateway: Gateway;
const origin = 'https://app.example.com';

beforeAll(async () => {
  servers = await startServers();
  gateway = await startGateway(servers, { allowedOrigins: [origin] });
});
afterAll(async () => {
  await gateway?.stop();
  await servers?.stop();
});

describe('origins', () => {
  test('the configured origin is allowed, exactly and without credentials', async () => {
    const response = await gateway.fetch('/api/roles', { headers: { origin } });
    expect(response.status).toBe(401);
    expect(response.headers.get('access-control-allow-origin')).toBe(origin);
    expect(response.headers.get('access-control-allow-credentials')).toBeNull();
    expect(response.headers.get('vary')).toBe('Origin');
  });

  test('a preflight of the configured origin is answered without a token', async () => {
    const headers = {
      origin,
      'access-control-request-method': 'PUT',
      'access-control-request-headers': 'authorization',
    };
    const response = await gateway.fetch('/api/roles', { method: 'OPTIONS', headers });
    expect(response.status).toBe(204);
    expect(response.headers.get('access-control-allow-origin')).toBe(origin);
    expect(response.headers.get('access-control-allow-methods')).toBe('GET, HEAD, POST, PUT, PATCH, DELETE');
    expect(response.headers.get('access-control-max-age')).toBe('600');
  });

  test.each([
    'null',
    'http://app.example.com',
    'https://app.example.com:443',
    'https://app.example.com:8443',
    'https://app.example.com.evil.test',
    'https://evil-app.example.com',
    'https://sub.app.example.com',
    'https://app.example.com@evil.test',
    'https://APP.example.com',
    'https://app.example.com/',
    'https://app.example.com,https://evil.test',
    '*',
  ])('%s is refused, and no header lets its page read anything', async (foreign) => {
    for (const method of ['GET', 'OPTIONS', 'POST']) {
      const headers = { origin: foreign, 'access-control-request-method': 'POST' };
      const response = await gateway.fetch('/api/roles', { method, headers });
      expect([response.status, (await problemOf(response)).code]).toEqual([403, 'origin_forbidden']);
      expect(response.headers.get('access-control-allow-origin')).toBeNull();
    }
    const open = await gateway.fetch('/.well-known/jwks.json', { headers: { origin: foreign } });
    expect([open.status, open.headers.get('access-control-allow-origin')]).toEqual([200, null]);
  });

  test('a page of the gateway itself, such as its documentation, may call it', async () => {
    const response = await gateway.fetch('/api/roles', { headers: { origin: gateway.url } });
    expect([response.status, response.headers.get('access-control-allow-origin')]).toEqual([401, null]);
  });
});

describe('the documentation', () => {
  test.each([
    '/api/docs',
    '/api/docs/swagger-ui.css',
    '/api/docs/swagger-ui-bundle.js',
    '/api/docs/swagger-ui-init.js',
  ])('%s is served with a policy under which nothing foreign runs', async (path) => {
    const response = await gateway.fetch(path);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-security-policy')).toContain("script-src 'self'");
    expect(response.headers.get('content-security-policy')).not.toContain("script-src 'self' 'unsafe");
    expect(response.headers.get('x-correlation-id')).toBeTruthy();
  });

  test.each([
    '/api/docs/../../package.json',
    '/api/docs/%2e%2e/%2e%2e/package.json',
    '/api/docs/package.json',
    '/api/docs/nothing',
  ])('%s answers 404', async (path) => {
    expect([400, 404]).toContain((await gateway.fetch(path)).status);
  });

  test('is not there where it is switched off', async () => {
    const closed = await startGateway(servers, { apiDocs: false });
    for (const path of ['/api/docs', '/api/docs-json', '/api/docs/swagger-ui-bundle.js']) {
      expect([path, (await closed.fetch(path)).status]).toEqual([path, 404]);
    }
    await closed.stop();
  });
});
