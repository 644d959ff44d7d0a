import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { freePort } from '@prime-nest/devstack/ports';
import { eventually } from '@prime-nest/testkit/eventually';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { startRecordingProxy } from './recording-proxy.js';
import type { RecordingProxy } from './recording-proxy.js';
import { items, logIn } from './rest-client.js';
import { startTestSystem } from './test-system.js';
import type { TestSystem } from './test-system.js';

const example = fileURLToPath(new URL('../examples/invoices/', import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), 'prime-nest-upstreams-'));
const routesFile = path.join(folder, 'routes.json');

interface RouteFileText {
  upstreams: Record<string, { url?: string }>;
  routes: Record<string, unknown>[];
}
/** The example's own file, with the address of this test's service. */
function exampleRoutes(url: string): RouteFileText {
  const file = JSON.parse(readFileSync(path.join(example, 'routes.json'), 'utf8')) as RouteFileText;
  return { ...file, upstreams: { invoices: { ...file.upstreams['invoices'], url }, payments: { url } } };
}

let port: number;
let proxy: RecordingProxy;
let suite: TestSystem;
let service: ChildProcess;
let accountant: User;
let manager: User;

interface User {
  readonly id: string;
  readonly token: string;
}

async function startService(): Promise<void> {
  service = spawn(process.execPath, [path.join(example, 'main.ts')], {
    env: {
      PATH: process.env['PATH'],
      PORT: String(port),
      GATEWAY_URL: suite.system.gatewayUrl,
      NATS_URL: suite.system.state.natsUrl,
      NATS_NKEY_SEED: await suite.system.upstreamSeed('invoices'),
    },
    stdio: 'ignore',
  });
  await eventually(async () => (await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined)) !== undefined);
}

async function stopService(): Promise<void> {
  const ended = new Promise((resolve) => service.once('exit', resolve));
  service.kill('SIGCONT');
  service.kill('SIGKILL');
  await ended;
}

async function newUser(email: string): Promise<User> {
  const { call, admin } = suite;
  const password = 'a long enough pass phrase 7';
  const created = await call('POST', '/api/users', { token: admin, body: { email, name: 'Somebody', password } });
  expect([created.status, created.body['code']]).toEqual([201, undefined]);
  return { id: created.body['id'] as string, token: await logIn(call, email, password) };
}

/** Gives the user exactly the role of this name, or none. */
async function give({ id }: User, name?: string): Promise<void> {
  const { call, admin } = suite;
  const roles = items(await call('GET', '/api/roles?limit=100', { token: admin }));
  const roleIds = roles.filter((role) => role['name'] === name).map((role) => role['id']);
  expect(roleIds.length).toBe(name === undefined ? 0 : 1);
  expect((await call('PUT', `/api/users/${id}/roles`, { token: admin, body: { roleIds } })).status).toBe(200);
}

beforeAll(async () => {
  port = await freePort();
  proxy = await startRecordingProxy(port);
  writeFileSync(routesFile, JSON.stringify(exampleRoutes(proxy.url)));
  suite = await startTestSystem({
    env: {
      GATEWAY_ROUTES_FILE: routesFile,
      RBAC_POLICY_FILE: path.join(example, '../../services/rbac/examples/invoices.policy.json'),
    },
  });
  await startService();
  accountant = await newUser('accountant@example.com');
  manager = await newUser('manager@example.com');
});
afterAll(async () => {
  if (service?.exitCode === null) await stopService();
  await suite?.stop();
  await proxy?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const invoices = (method = 'GET', body?: unknown) =>
  suite.call(method, '/api/invoices', { token: accountant.token, ...(body === undefined ? {} : { body }) });

async function reload(file: unknown, expected: 'routes.loaded' | 'routes.refused'): Promise<string> {
  const count = () => suite.system.logs('gateway').filter((line) => line.includes(`"${expected}"`)).length;
  const before = count();
  writeFileSync(routesFile, typeof file === 'string' ? file : JSON.stringify(file));
  suite.system.service('gateway').signal('SIGHUP');
  await eventually(() => count() > before);
  return suite.system.logs('gateway').findLast((line) => line.includes(`"${expected}"`)) ?? '';
}

describe('a service of an adopter, protected by a policy file and a route file', () => {
  test('is closed to a user without the role, and open from the moment the role is given until it is taken', async () => {
    const { call } = suite;
    expect((await call('GET', '/api/invoices')).status).toBe(401);
    expect((await invoices()).status).toBe(403);
    expect(proxy.seen).toEqual([]);
    await give(accountant, 'Accountant');
    const written = await invoices('POST', { total: 120 });
    expect([written.status, written.body['writtenBy']]).toEqual([201, accountant.id]);
    expect(items(await invoices()).map(({ total }) => total)).toEqual([120]);
    expect((await invoices('POST', { total: -1 })).status).toBe(422);
    await give(accountant);
    expect((await invoices()).status).toBe(403);
    await give(accountant, 'Accountant');
  });

  test('answers over NATS under the same rules, as a bus user that can do nothing else', async () => {
    const { call } = suite;
    const id = (await invoices('POST', { total: 5 })).body['id'] as string;
    const approve = ({ token }: User, invoice = id) => call('POST', `/api/invoices/${invoice}/approval`, { token });
    expect([(await approve(manager)).status, (await approve(accountant)).status]).toEqual([403, 403]);
    await give(manager, 'Manager');
    const approved = await approve(manager);
    expect([approved.status, approved.body['status'], approved.body['approvedBy']]).toEqual([
      200,
      'approved',
      manager.id,
    ]);
    expect((await approve(manager, 'no-such-invoice')).status).toBe(404);

    const recorded = await eventually(
      async () => {
        const events = items(await call('GET', '/api/audit/events?limit=100', { token: suite.admin }));
        const calls = events.filter(({ type }) => type === 'gateway.upstream.called.v1');
        return calls.find(({ correlationId }) => correlationId === approved.correlationId) ?? false;
      },
      { deadlineMs: 40_000 },
    );
    expect(recorded).toMatchObject({
      outcome: 'success',
      actor: { id: manager.id },
      resource: { type: 'upstream', id: 'invoices POST /invoices/:id/approval' },
    });

    const seed = new TextEncoder().encode(await suite.system.upstreamSeed('invoices'));
    const servers = suite.system.state.natsUrl;
    const bus = await connect({ servers, authenticator: nkeyAuthenticator(seed), inboxPrefix: '_INBOX.ext-invoices' });
    try {
      const subject = 'rbac.access.decide.v1';
      await expect(bus.request(subject, '{}', { timeout: 3_000 })).rejects.toThrow(/permission/i);
      await expect(bus.request('ext.invoices.invoice.approve.v1', '{}', { timeout: 3_000 })).rejects.toThrow(
        /permission/i,
      );
      const denied = new Promise<Error>((resolve) => {
        bus.subscribe('ext.other.>', { queue: 'other', callback: (error) => void (error !== null && resolve(error)) });
      });
      expect(String(await denied)).toMatch(/permission/i);
    } finally {
      await bus.close();
    }
  });

  test('believes the gateway alone: what somebody on the way has seen opens nothing', async () => {
    const { call } = suite;
    proxy.seen.length = 0;
    expect((await invoices('POST', { total: 7 })).status).toBe(201);
    const seen = proxy.seen[0];
    if (seen === undefined) throw new Error('nothing was passed on');
    const text = JSON.stringify(seen.headers);
    expect(text).not.toContain(accountant.token);
    const direct = async (headers: Record<string, string>, body = seen.body.toString('utf8')) =>
      (await fetch(`http://127.0.0.1:${port}/invoices`, { method: 'POST', headers, body })).status;
    const assertion = String(seen.headers['prime-nest-assertion']);
    const statuses = {
      withoutAssertion: await direct({}),
      withTheUsersToken: await direct({ authorization: `Bearer ${accountant.token}` }),
      withTheTokenAsAssertion: await direct({ 'prime-nest-assertion': accountant.token }),
      replayed: await direct({ 'prime-nest-assertion': assertion }),
      withAnotherBody: await direct({ 'prime-nest-assertion': assertion }, '{"total":1000000}'),
      forged: await direct({ 'prime-nest-assertion': `${assertion.slice(0, -4)}AAAA` }),
    };
    expect(Object.values(statuses)).toEqual([401, 401, 401, 401, 401, 401]);
    // The control: the same request through the gateway is served.
    expect((await invoices('POST', { total: 7 })).status).toBe(201);

    // An assertion for another service, sent to this one by a mistake in the route file.
    const file = exampleRoutes(proxy.url);
    const stray = { methods: ['GET'], path: '/payments', access: 'authenticated', target: { upstream: 'payments' } };
    await reload({ ...file, routes: [...file.routes, stray] }, 'routes.loaded');
    const other = await call('GET', '/api/payments', { token: accountant.token });
    expect([other.status, other.body['code']]).toEqual([502, 'upstream_failed']);
    expect((await invoices()).status).toBe(200);
  });

  test('gets and loses routes on SIGHUP without a request that fails; a bad file changes nothing', async () => {
    const { call } = suite;
    const file = exampleRoutes(proxy.url);
    const added = { methods: ['GET'], path: '/open/invoices', access: 'public', target: { upstream: 'invoices' } };
    // The service itself knows nothing of that path: its own 404 shows that the request came through.
    const codeOf = async () => (await call('GET', '/api/open/invoices')).body['code'];
    const statuses: number[] = [];
    let isOver = false;
    const load = (async () => {
      while (!isOver) statuses.push((await invoices()).status);
    })();
    try {
      expect(await codeOf()).toBe('route_not_found');
      const line = await reload({ ...file, routes: [...file.routes, added] }, 'routes.loaded');
      expect(await codeOf()).toBe('not_found');
      const refusal = await reload({ ...file, routes: [{ ...added, access: undefined }] }, 'routes.refused');
      expect(refusal).toContain('GET /open/invoices: access');
      expect((JSON.parse(refusal) as { digest: string }).digest).toBe((JSON.parse(line) as { digest: string }).digest);
      expect(await codeOf()).toBe('not_found');
      await reload(file, 'routes.loaded');
      expect(await codeOf()).toBe('route_not_found');
    } finally {
      isOver = true;
      await load;
    }
    expect(statuses.length).toBeGreaterThan(0);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
  });

  test('that is silent or gone is 504, 502 and 503 on its own routes, and nothing else notices', async () => {
    const others = async () => (await suite.call('GET', '/api/auth/me', { token: accountant.token })).status;
    service.kill('SIGSTOP');
    const [silent, beside] = await Promise.all([invoices(), others()]);
    expect([silent.status, silent.body['code'], beside]).toEqual([504, 'upstream_timeout', 200]);
    await stopService();
    const broken = await invoices();
    expect([broken.status, broken.body['code'], await others()]).toEqual([502, 'upstream_failed', 200]);
    await proxy.stop();
    const gone = await invoices();
    expect([gone.status, gone.body['code'], gone.headers.get('retry-after')]).toEqual([
      503,
      'upstream_unavailable',
      '1',
    ]);
    expect(await others()).toBe(200);
    await startService();
    proxy = await startRecordingProxy(port);
    await reload(exampleRoutes(proxy.url), 'routes.loaded');
    await eventually(async () => (await invoices()).status === 200);
  });
});
