import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { logFields } from '@prime-nest/contracts/log-fields';
import { readSpans } from '@prime-nest/devstack/span-store';
import type { KeptSpan } from '@prime-nest/devstack/span-store';
import { treesOf } from '@prime-nest/devstack/span-tree';
import type { SpanNode } from '@prime-nest/devstack/span-tree';
import type { RunningSystem } from '@prime-nest/devstack/start-system';
import { eventually } from '@prime-nest/testkit/eventually';
import { randomUUID } from 'node:crypto';
import { type Answer, type Call, items } from './rest-client.js';
import { startTestSystem } from './test-system.js';

let system: RunningSystem;
let call: Call;
let admin: string;
let stop: () => Promise<void>;

const password = `canary-password ${randomUUID()}`;
const email = `canary-${randomUUID()}@example.com`;
const userAgent = `canary-agent/${randomUUID()}`;
const personName = `Canary Name ${randomUUID()}`;
let user: { id: string; token: string; refreshToken: string };
let roleId: string;

beforeAll(async () => {
  const env = {
    OTEL_ENABLED: 'true',
    OTEL_TRACES_SAMPLER: 'parentbased_always_on',
    OTEL_BSP_SCHEDULE_DELAY: '100',
    TRACE_URL_TEMPLATE: 'https://traces.example/t/{traceId}',
  };
  ({ system, call, admin, stop } = await startTestSystem({ env }));
  const created = await call('POST', '/api/users', { token: admin, body: { email, name: personName, password } });
  const role = await call('POST', '/api/roles', { token: admin, body: { name: `Role ${randomUUID()}` } });
  expect([created.status, role.status]).toEqual([201, 201]);
  roleId = role.body['id'] as string;
  const session = await signIn();
  expect(session.status).toBe(200);
  user = {
    id: created.body['id'] as string,
    token: session.body['access_token'] as string,
    refreshToken: session.body['refresh_token'] as string,
  };
}, 180_000);
afterAll(async () => {
  await stop?.();
}, 60_000);

const signIn = (secret = password) =>
  call('POST', '/api/auth/login', { body: { email, password: secret }, headers: { 'user-agent': userAgent } });

const kept = (traceId: string): KeptSpan[] => readSpans(system.state.spansFolder ?? '', traceId);

/** The one tree of a trace, once spans with these names have arrived. */
async function treeOf({ traceId }: Answer, names: readonly string[]): Promise<SpanNode> {
  await eventually(() => {
    const missing = names.filter((name) => !kept(traceId).some((span) => span.name === name));
    expect(missing).toEqual([]);
  });
  // Whatever is still on its way belongs to the same exports.
  let count = -1;
  await eventually(() => {
    const before = count;
    count = kept(traceId).length;
    return before === count && treesOf(kept(traceId)).length === 1;
  });
  const [tree, ...others] = treesOf(kept(traceId));
  expect(others).toEqual([]);
  return tree as SpanNode;
}

/** `service kind name` of the spans from the root down to the first one with that name. */
function wayTo(name: string, node: SpanNode): string[] | undefined {
  const here = `${node.span.service} ${node.span.kind} ${node.span.name}`;
  if (node.span.name === name && node.children.every((child) => child.span.name !== name)) return [here];
  for (const child of node.children) {
    const below = wayTo(name, child);
    if (below !== undefined) return [here, ...below];
  }
  return undefined;
}

const spanOf = (tree: SpanNode, name: string): KeptSpan | undefined =>
  tree.span.name === name ? tree.span : tree.children.map((child) => spanOf(child, name)).find((found) => found);

const entriesOf = async (traceId: string) =>
  items(await call('GET', `/api/audit/events?traceId=${traceId}`, { token: admin }));

describe('one trace', () => {
  test('of a sign-in leads from the request through identity and its database to the audit log', async () => {
    const answer = await signIn();
    const event = 'evt.identity.login.succeeded.v1';
    const expected = ['POST /api/auth/login', 'password.verify', `publish ${event}`, `process ${event}`];
    const tree = await treeOf(answer, [...expected, 'INSERT event']);
    const rpc = 'identity.session.login.v1';
    const service = ['gateway server POST /api/auth/login', `gateway client ${rpc}`, `identity server ${rpc}`];
    expect(wayTo('password.verify', tree)).toEqual([...service, 'identity internal password.verify']);
    const append = [...service, 'identity internal outbox.append'];
    // The session and its event are one statement.
    expect(wayTo('INSERT session', tree)).toEqual([...append, 'identity client INSERT session']);
    expect(wayTo(`publish ${event}`, tree)).toEqual([...append, `identity producer publish ${event}`]);
    expect(wayTo(`process ${event}`, tree)).toEqual([...append, `audit consumer process ${event}`]);

    expect(tree.span.attributes).toMatchObject({
      'http.request.method': 'POST',
      'http.route': '/api/auth/login',
      'http.response.status_code': 200,
      'url.path': '/api/auth/login',
    });
    expect(spanOf(tree, rpc)?.attributes).toMatchObject({ 'rpc.system.name': 'nats', 'rpc.method': rpc });
    const [produced, processed] = [spanOf(tree, `publish ${event}`), spanOf(tree, `process ${event}`)];
    const message = { 'messaging.system': 'nats', 'messaging.destination.name': event };
    expect(produced?.attributes).toMatchObject({ ...message, 'messaging.operation.type': 'send' });
    expect(processed?.attributes).toMatchObject({ ...message, 'messaging.consumer.group.name': 'audit-sequencer' });
    expect(processed?.links).toEqual([{ traceId: answer.traceId, spanId: produced?.spanId }]);
  });

  test('of an allowed request shows the decision and its revision', async () => {
    const answer = await call('GET', '/api/users?limit=1', { token: admin });
    const tree = await treeOf(answer, ['GET /api/users', 'access.decide', 'identity.account.list.v1']);
    expect(wayTo('rbac.access.decide.v1', tree)).toEqual([
      'gateway server GET /api/users',
      'gateway internal access.decide',
      'gateway client rbac.access.decide.v1',
      'rbac server rbac.access.decide.v1',
    ]);
    expect(spanOf(tree, 'access.decide')?.attributes).toEqual({
      'decision.permission': 'users:view',
      'decision.effect': 'allow',
      'decision.batch_size': 1,
      'decision.revision': expect.any(Number),
    });
    expect(['signature', 'memory']).toContain(tree.span.attributes['token.source']);
    expect(wayTo('SELECT account', tree)?.at(-1)).toBe('identity client SELECT account');
  });

  test('of a denied request ends with the decision, and a denial is no error', async () => {
    const answer = await call('GET', '/api/users', { token: user.token });
    expect(answer.status).toBe(403);
    const tree = await treeOf(answer, ['GET /api/users', 'access.decide', 'rbac.access.decide.v1']);
    expect(spanOf(tree, 'access.decide')?.attributes).toMatchObject({ 'decision.effect': 'deny' });
    expect(spanOf(tree, 'access.decide')?.attributes['decision.reason']).toEqual(expect.any(String));
    expect(tree.span).toMatchObject({ isError: false });
    expect(tree.span.attributes).toMatchObject({ 'http.response.status_code': 403, 'error.type': 'forbidden' });
    expect(wayTo('identity.account.list.v1', tree)).toBeUndefined();
  });

  test('of a role change holds the mutation, the barrier, and the entry in the log', async () => {
    const answer = await call('PUT', `/api/users/${user.id}/roles`, { token: admin, body: { roleIds: [roleId] } });
    expect(answer.status).toBe(200);
    const [entry] = await eventually(async () => {
      const found = await entriesOf(answer.traceId);
      return found.length > 0 && found;
    });
    const event = `evt.${String(entry?.['type'])}`;
    const tree = await treeOf(answer, [
      'PUT /api/users/:id/roles',
      `process ${event}`,
      'policy.barrier',
      'INSERT event',
    ]);
    expect(spanOf(tree, 'policy.barrier')?.attributes).toMatchObject({
      'barrier.live_members': 1,
      'barrier.acknowledged': 1,
      'barrier.fenced': 0,
    });
    expect(wayTo(`process ${event}`, tree)?.map((step) => step.split(' ')[0])).toEqual([
      'gateway',
      'gateway',
      'rbac',
      'rbac',
      'audit',
    ]);
    expect(spanOf(tree, `process ${event}`)?.attributes['audit.index']).toBe(entry?.['index']);
    expect(entry?.['traceUrl']).toBe(`https://traces.example/t/${answer.traceId}`);
  });

  test("begins at the gateway, whatever a stranger's traceparent says, which is linked only", async () => {
    const foreign = { traceId: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', spanId: 'bbbbbbbbbbbbbbbb' };
    const traceparent = `00-${foreign.traceId}-${foreign.spanId}-01`;
    const answer = await call('GET', '/api/auth/me', { token: admin, headers: { traceparent } });
    expect(answer.traceId).not.toBe(foreign.traceId);
    const tree = await treeOf(answer, ['GET /api/auth/me']);
    expect(tree.span.parentId).toBeUndefined();
    expect(tree.span.links).toEqual([foreign]);
  });

  test('shows the rate limit in Redis, without its key', async () => {
    // A gateway that is too busy to wait for Redis counts by itself for a while.
    const tree = await eventually(async () => {
      const seen = await treeOf(await call('GET', '/api/auth/me', { token: admin }), ['GET /api/auth/me']);
      return spanOf(seen, 'EVALSHA') !== undefined && seen;
    });
    expect(wayTo('EVALSHA', tree)).toEqual(['gateway server GET /api/auth/me', 'gateway client EVALSHA']);
    expect(JSON.stringify(spanOf(tree, 'EVALSHA')?.attributes)).not.toMatch(/rl:|principal|address:/);
  });

  test('of a health probe is not recorded, and answers with a trace id all the same', async () => {
    const probe = await call('GET', '/health/liveness');
    expect(probe.traceId).toMatch(/^(?!0+$)[0-9a-f]{32}$/);
    await treeOf(await call('GET', '/api/auth/me', { token: admin }), ['GET /api/auth/me']);
    expect(kept('').filter(({ name }) => name.includes('/health/'))).toEqual([]);
  });

  test('of requests at the same time stays apart, decisions in one message and events in one batch included', async () => {
    const names = Array.from({ length: 12 }, () => `Role ${randomUUID()}`);
    const answers = await Promise.all(
      names.map((name) => call('POST', '/api/roles', { token: admin, body: { name } })),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 201));
    const event = 'evt.rbac.role.created.v1';
    for (const answer of answers) {
      const tree = await treeOf(answer, ['POST /api/roles', `publish ${event}`, `process ${event}`]);
      const processed = spanOf(tree, `process ${event}`);
      // Alone in its batch the transaction is below; with others it is a linked trace of its own.
      await eventually(
        () => (processed?.links ?? []).length === 2 || kept(answer.traceId).some(({ name }) => name === 'audit.append'),
      );
    }
    const reads = await Promise.all(Array.from({ length: 20 }, () => call('GET', '/api/roles', { token: admin })));
    for (const answer of reads) {
      const tree = await treeOf(answer, ['access.decide', 'GET /api/roles']);
      const decided = spanOf(tree, 'access.decide');
      expect(decided?.attributes['decision.effect']).toBe('allow');
      expect(wayTo('rbac.access.decide.v1', tree) !== undefined || (decided?.links ?? []).length === 1).toBe(true);
    }
  });
});

describe('the ids of a request', () => {
  test('are the same in the response, in the lines of every service that took part, and in the audit entry', async () => {
    const body = { name: `Role ${randomUUID()}` };
    const answer = await call('POST', '/api/roles', { token: admin, body });
    const [entry] = await eventually(async () => {
      const found = await entriesOf(answer.traceId);
      return found.length > 0 && found;
    });
    expect(entry).toMatchObject({ traceId: answer.traceId, correlationId: answer.correlationId });
    const lines = ['gateway', 'rbac', 'audit'].flatMap((name) =>
      system.logs(name).flatMap((line) => {
        const fields = JSON.parse(line) as Record<string, unknown>;
        return fields['traceId'] === answer.traceId ? [fields] : [];
      }),
    );
    expect(new Set(lines.map(({ service }) => service))).toEqual(new Set(['gateway', 'rbac', 'audit']));
    for (const line of lines) {
      expect(line).toMatchObject({
        correlationId: answer.correlationId,
        spanId: expect.stringMatching(/^[0-9a-f]{16}$/),
      });
    }
    const served = (event: string) => lines.filter(({ msg }) => msg === event);
    expect(served('http.served')).toHaveLength(1);
    // One line per call: the decision and the creation.
    expect(served('rpc.served')).toHaveLength(2);
    await eventually(() => {
      const spans = new Set(kept(answer.traceId).map(({ spanId }) => spanId));
      expect(lines.filter((line) => !spans.has(String(line['spanId'])))).toEqual([]);
    });
  });

  test('stand beside fields of the list in the contracts, and nothing was dropped for being unknown', async () => {
    await signIn();
    const lines = ['gateway', 'identity', 'rbac', 'audit'].flatMap((name) => system.logs(name));
    expect(lines.length).toBeGreaterThan(20);
    expect(lines.filter((line) => line.includes('droppedFields'))).toEqual([]);
    const known = new Set<string>([...logFields, 'level', 'time', 'msg']);
    const names = lines.flatMap((line) => Object.keys(JSON.parse(line) as object));
    expect(names.filter((name) => !known.has(name))).toEqual([]);
  });

  test('stand on every line that is written while a request is served', async () => {
    await signIn('a wrong password, on purpose');
    await call('GET', '/api/nowhere', { token: admin });
    await call('POST', '/api/roles', { token: admin, body: { name: 7 } });
    const about = /^(http|rpc|session|password|policy\.effective|event)\./;
    const loose = ['gateway', 'identity', 'rbac', 'audit']
      .flatMap((name) => system.logs(name).map((line) => JSON.parse(line) as Record<string, unknown>))
      .filter(({ msg }) => about.test(String(msg)) && !/\.(listening)$/.test(String(msg)))
      .filter(({ traceId, spanId, correlationId }) => [traceId, spanId, correlationId].some((id) => id === undefined));
    expect(loose).toEqual([]);
  });
});

describe('what may not be observed', () => {
  test('no password, token, address, e-mail, name or user agent is in a span, a log line or a metric', async () => {
    // Things go wrong in every way that has ever put a value into a message.
    await call('POST', '/api/auth/login', { body: { email, password: `${password} wrong` } });
    await call('GET', `/api/users/${email}`, { token: admin });
    await call('GET', `/api/${user.token}?password=${encodeURIComponent(password)}`, { token: admin });
    await call('POST', '/api/users', { token: admin, body: { email, name: personName, password } });
    await call('POST', '/api/auth/refresh', { body: { refresh_token: user.refreshToken } });
    const reused = await call('POST', '/api/auth/refresh', { body: { refresh_token: user.refreshToken } });
    expect(reused.status).toBe(401);
    await treeOf(reused, ['POST /api/auth/refresh', 'identity.session.refresh.v1']);

    const logs = path.join(system.state.home, 'logs');
    const metrics = await Promise.all(
      Object.values(system.state.metrics).map(async (url) => (await fetch(url)).text()),
    );
    const places: [string, string][] = [
      ['spans', JSON.stringify(kept(''))],
      ...readdirSync(logs).map((file): [string, string] => [file, readFileSync(path.join(logs, file), 'utf8')]),
      ...metrics.map((text): [string, string] => ['metrics', text]),
    ];
    const secrets = {
      password,
      'access token': user.token,
      'token signature': user.token.split('.')[2] ?? '',
      'refresh token': user.refreshToken,
      'admin password': (await system.adminPassword()).trim(),
      'e-mail': email,
      name: personName,
      'user agent': userAgent,
    };
    const hits = places.flatMap(([place, text]) =>
      Object.entries(secrets).flatMap(([what, secret]) => (text.includes(secret) ? [`${what} in ${place}`] : [])),
    );
    expect(hits).toEqual([]);
    // The client's address is in the lines of the gateway, on purpose, and nowhere else.
    expect(JSON.stringify(kept(''))).not.toMatch(/"client\.address"|"user_agent|"enduser/);
    // The control: the scan looks into full places, and finds what is there.
    expect(places[0]?.[1]).toContain('INSERT session');
    expect(places.filter(([, text]) => text.includes('identity.session.login.v1')).length).toBeGreaterThan(3);
  });
});
