import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@prime-nest/testkit/eventually';
import { randomUUID } from 'node:crypto';
import { type Call, items, logIn } from './rest-client.js';
import { type TargetSystem, targetSystem } from './target-system.js';

let logs: TargetSystem['logs'];
let call: Call;
let admin: string;
let stop: () => Promise<void>;

const password = 'a tour of the system 42';

beforeAll(async () => {
  ({ logs, call, admin, stop } = await targetSystem());
}, 180_000);
afterAll(async () => {
  await stop?.();
}, 60_000);

async function newUser(roleIds?: string[]): Promise<{ id: string; token: string }> {
  const email = `${randomUUID()}@example.com`;
  const created = await call('POST', '/api/users', {
    token: admin,
    body: { email, name: 'Somebody', password, ...(roleIds === undefined ? {} : { roleIds }) },
  });
  expect(created.status).toBe(201);
  return { id: created.body['id'] as string, token: await logIn(call, email, password) };
}

async function permissionId(name: string): Promise<string> {
  const list = await call('GET', `/api/permissions?limit=100&search=${name.split(':').at(-1) ?? ''}`, { token: admin });
  return items(list).find((permission) => permission['name'] === name)?.['id'] as string;
}

async function newRole(permissions: string[]): Promise<string> {
  const role = await call('POST', '/api/roles', { token: admin, body: { name: `Role ${randomUUID()}` } });
  expect(role.status).toBe(201);
  const permissionIds = await Promise.all(permissions.map(permissionId));
  const set = await call('PUT', `/api/roles/${String(role.body['id'])}/permissions`, {
    token: admin,
    body: { permissionIds },
  });
  expect(set.status).toBe(200);
  return role.body['id'] as string;
}

const giveRoles = (userId: string, roleIds: string[]) =>
  call('PUT', `/api/users/${userId}/roles`, { token: admin, body: { roleIds } });

describe('the main job', () => {
  test('a user is denied before a grant, allowed after it, and denied after its removal, with one access token', async () => {
    const user = await newUser();
    const before = await call('GET', '/api/users', { token: user.token });
    expect([before.status, before.body['code']]).toEqual([403, 'forbidden']);

    const given = await giveRoles(user.id, [await newRole(['users:view'])]);
    expect(given.status).toBe(200);
    expect((await call('GET', '/api/users', { token: user.token })).status).toBe(200);

    expect((await giveRoles(user.id, [])).status).toBe(200);
    expect((await call('GET', '/api/users', { token: user.token })).status).toBe(403);
  });

  test('roles can be given while a user is created', async () => {
    const user = await newUser([await newRole(['users:view'])]);
    expect((await call('GET', '/api/users', { token: user.token })).status).toBe(200);
    const me = await call('GET', '/api/auth/me', { token: user.token });
    expect(me.body['permissions']).toEqual(['users:view']);
  });

  test('each mutation is in the audit log once, under the trace id and correlation id of its response', async () => {
    const user = await newUser();
    const role = await newRole([]);
    const steps: [string, string][] = [];
    const record = (type: string, answer: { status: number; traceId: string; correlationId: string }) => {
      expect(answer.status).toBeLessThan(300);
      steps.push([type, `${answer.traceId} ${answer.correlationId}`]);
    };
    const feature = `f${randomUUID().slice(0, 8)}`;
    const created = await call('POST', '/api/features', { token: admin, body: { name: feature } });
    record('rbac.feature.created.v1', created);
    const permission = await call('POST', '/api/permissions', {
      token: admin,
      body: { featureId: created.body['id'], action: 'read' },
    });
    record('rbac.permission.created.v1', permission);
    record(
      'rbac.role.permissions_replaced.v1',
      await call('PUT', `/api/roles/${role}/permissions`, {
        token: admin,
        body: { permissionIds: [permission.body['id']] },
      }),
    );
    record('rbac.principal.roles_replaced.v1', await giveRoles(user.id, [role]));
    record(
      'identity.account.updated.v1',
      await call('PATCH', `/api/users/${user.id}`, { token: admin, body: { name: 'New' } }),
    );
    record('rbac.principal.roles_replaced.v1', await giveRoles(user.id, []));
    record('rbac.role.deleted.v1', await call('DELETE', `/api/roles/${role}`, { token: admin }));
    record('identity.account.deleted.v1', await call('DELETE', `/api/users/${user.id}`, { token: admin }));

    for (const [type, ids] of steps) {
      const [traceId = '', correlationId = ''] = ids.split(' ');
      const entries = await eventually(async () => {
        const found = await call('GET', `/api/audit/events?traceId=${traceId}`, { token: admin });
        const hits = items(found).filter((entry) => entry['type'] === type);
        return hits.length > 0 && hits;
      });
      expect([type, entries.length]).toEqual([type, 1]);
      expect(entries[0]).toMatchObject({ correlationId, actor: { type: 'user' }, outcome: 'success' });
    }
  });

  test('one trace id stands in the response, in the logs of three services and in the audit entry', async () => {
    const user = await newUser();
    const role = await newRole(['audit:view']);
    const changed = await giveRoles(user.id, [role]);
    expect(changed.status).toBe(200);
    await eventually(() => {
      const services = ['gateway', 'rbac', 'audit'] as const;
      return services.every((service) => logs(service).some((line) => line.includes(changed.traceId)));
    });
    expect(changed.headers.get('traceparent')).toContain(changed.traceId);
  });

  test('a client’s own correlation id is kept when it is well-formed and replaced when it is not', async () => {
    const kept = await call('GET', '/api/auth/me', { token: admin, headers: { 'x-correlation-id': 'order-4711-abc' } });
    expect(kept.correlationId).toBe('order-4711-abc');
    const replaced = await call('GET', '/api/auth/me', {
      token: admin,
      headers: { 'x-correlation-id': 'a b<script>' },
    });
    expect(replaced.correlationId).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('what is still referred to cannot be deleted', () => {
  test('a role that somebody holds', async () => {
    const role = await newRole([]);
    const user = await newUser([role]);
    const refused = await call('DELETE', `/api/roles/${role}`, { token: admin });
    expect([refused.status, refused.body['code']]).toEqual([409, 'in_use']);
    await giveRoles(user.id, []);
    expect((await call('DELETE', `/api/roles/${role}`, { token: admin })).status).toBeLessThan(300);
  });

  test('the last administrator’s role', async () => {
    const refused = await giveRoles('01900000-0000-7000-8000-000000000001', []);
    expect([refused.status, refused.body['code']]).toEqual([409, 'last_administrator']);
  });
});

describe('bad input', () => {
  const cases: [string, string, string, Parameters<Call>[2], number, string][] = [
    ['malformed JSON', 'POST', '/api/roles', { rawBody: '{"name":' }, 400, 'malformed_json'],
    ['an unknown field', 'POST', '/api/roles', { body: { name: 'x', isAdmin: true } }, 400, 'validation_failed'],
    ['a wrong type', 'POST', '/api/roles', { body: { name: 7 } }, 400, 'validation_failed'],
    ['an absent field', 'POST', '/api/roles', { body: {} }, 400, 'validation_failed'],
    ['a polluting key', 'POST', '/api/roles', { rawBody: '{"name":"x","__proto__":{"a":1}}' }, 400, 'malformed_json'],
    ['a duplicate key', 'POST', '/api/roles', { rawBody: '{"name":"x","name":"y"}' }, 400, 'malformed_json'],
    [
      'a wrong content type',
      'POST',
      '/api/roles',
      { rawBody: 'name=x', headers: { 'content-type': 'text/plain' } },
      415,
      'unsupported_media_type',
    ],
    ['an id that is none', 'GET', '/api/roles/1', {}, 400, 'validation_failed'],
    ['an unknown id', 'GET', '/api/roles/01900000-0000-7000-8000-0000000000ff', {}, 404, 'not_found'],
    ['a page beyond its bound', 'GET', '/api/roles?limit=100000', {}, 400, 'validation_failed'],
    ['an unknown query field', 'GET', '/api/roles?admin=true', {}, 400, 'validation_failed'],
    ['an unknown route', 'GET', '/api/nothing', {}, 404, 'route_not_found'],
    ['a method the route has not', 'PATCH', '/api/roles', { body: {} }, 405, 'method_not_allowed'],
  ];

  test.each(cases)('%s', async (...row) => {
    const [, method, path, options, status, code] = row;
    const answer = await call(method, path, { token: admin, ...options });
    expect([answer.status, answer.body['code']]).toEqual([status, code]);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(answer.body).toMatchObject({ status, correlationId: answer.correlationId, traceId: answer.traceId });
  });

  test('writes nothing', async () => {
    const before = await call('GET', '/api/roles?limit=1', { token: admin });
    for (const [, method, path, options] of cases.filter((entry) => entry[1] === 'POST')) {
      await call(method, path, { token: admin, ...options });
    }
    const after = await call('GET', '/api/roles?limit=1', { token: admin });
    expect(after.body['total']).toBe(before.body['total']);
  });

  test.each([
    ['absent', undefined, 'token_missing'],
    ['garbled', 'Bearer not.a.token', 'token_invalid'],
    ['of another scheme', 'Basic dXNlcjpwYXNz', 'token_missing'],
    ['unsigned', `Bearer ${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.e30.`, 'token_invalid'],
  ])('a token that is %s', async (_name, authorization, code) => {
    const answer = await call('GET', '/api/users', authorization === undefined ? {} : { headers: { authorization } });
    expect(answer.status).toBe(401);
    expect(answer.body['code']).toMatch(new RegExp(`^(${code}|token_invalid|token_missing)$`));
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
  });
});
