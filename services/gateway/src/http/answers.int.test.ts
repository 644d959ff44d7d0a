import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { allowOnly, newUser, startGateway, startServers } from '../../test/harness.js';
import type { Gateway, Servers, TestUser } from '../../test/harness.js';

let servers: Servers;
let gateway: Gateway;
let user: TestUser;
const lines: string[] = [];

beforeAll(async () => {
  servers = await startServers();
  allowOnly(servers.peers, ['rbac:view']);
  servers.peers.answer('rbac.role.list.v1', () => ({ data: [], total: 0 }));
  gateway = await startGateway(servers, { logTo: lines });
  user = newUser(servers.key);
});
afterAll(async () => {
  await gateway?.stop();
  await servers?.stop();
});

describe('what a client claims about itself', () => {
  test('identity headers change nothing, and the recorded address is the peer’s', async () => {
    servers.peers.forget();
    const claims = {
      'x-user-id': '1',
      'x-forwarded-user': 'root',
      'x-forwarded-for': '8.8.8.8',
      forwarded: 'for=8.8.8.8',
      'x-real-ip': '8.8.8.8',
      'pn-actor': '{"type":"service","id":"rbac"}',
      'pn-ip': '8.8.8.8',
    };
    await gateway.fetch('/api/roles', { headers: { ...user.headers, ...claims } });
    const [call] = servers.peers.calls('rbac.role.list.v1');
    expect(call?.context.actor).toEqual({ type: 'user', id: user.id, sessionId: user.sessionId });
    expect(call?.context.ip).toBe('127.0.0.1');
    expect((await gateway.fetch('/api/roles', { headers: claims })).status).toBe(401);
  });

  test('a traceparent does not join a stranger to a trace', async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const response = await gateway.fetch('/health/liveness', {
      headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` },
    });
    expect(response.headers.get('x-trace-id')).toMatch(/^[0-9a-f]{32}$/);
    expect(response.headers.get('x-trace-id')).not.toBe(traceId);
    expect(response.headers.get('traceparent')).toContain(response.headers.get('x-trace-id'));
  });

  test.each([
    ['order-4711.a_b', true],
    ['short', false],
    ['has space in it', false],
    ['<script>alert(1)</script>', false],
    ['x'.repeat(129), false],
  ])('the correlation id %j is kept: %s', async (given, isKept) => {
    const response = await gateway.fetch('/health/liveness', { headers: { 'x-correlation-id': given } });
    const answered = response.headers.get('x-correlation-id');
    if (isKept) expect(answered).toBe(given);
    else expect(answered).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('every answer', () => {
  test.each([
    ['a success', '/api/roles', true],
    ['a refusal', '/api/roles', false],
    ['an unknown address', '/nothing', false],
    ['health', '/health/liveness', false],
  ])('carries the security headers: %s', async (_name, path, hasToken) => {
    const response = await gateway.fetch(path, { headers: hasToken ? user.headers : {} });
    const { headers } = response;
    expect(headers.get('strict-transport-security')).toBe('max-age=31536000; includeSubDomains');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('content-security-policy')).toBe(
      "default-src 'none';base-uri 'none';form-action 'none';frame-ancestors 'none'",
    );
    expect(headers.get('cross-origin-opener-policy')).toBe('same-origin');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('x-powered-by')).toBeNull();
    expect(headers.get('server')).toBeNull();
    expect(headers.get('set-cookie')).toBeNull();
  });

  test('leaves one line in the log, without a credential', async () => {
    lines.length = 0;
    await gateway.fetch('/api/roles', { headers: user.headers });
    await gateway.fetch('/api/roles?search=secret-in-the-query', { headers: { authorization: 'Bearer not-a-token' } });
    const served = lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => msg === 'http.served');
    expect(served).toMatchObject([
      { method: 'GET', route: '/api/roles', status: 200, principalId: user.id },
      { method: 'GET', route: '/api/roles', status: 401, code: 'token_invalid' },
    ]);
    expect(lines.join('')).not.toContain(user.token.slice(0, 40));
    expect(lines.join('')).not.toContain('not-a-token');
    expect(lines.join('')).not.toContain('secret-in-the-query');
  });
});
