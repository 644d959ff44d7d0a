import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@prime-nest/testkit/eventually';
import { AppError } from '@prime-nest/contracts/errors';
import { allowOnly, effectAt, json, newUser, problemOf, startGateway, startServers } from '../../test/harness.js';
import type { Gateway, Servers, TestUser } from '../../test/harness.js';
import * as sample from './samples.js';

let servers: Servers;
let gateway: Gateway;
let user: TestUser;
const password = 'a long and private phrase';
const everything = ['users', 'rbac', 'audit'].flatMap((feature) =>
  ['view', 'create', 'edit', 'delete', 'assign_roles', 'assign_permissions', 'evaluate', 'export'].map(
    (action) => `${feature}:${action}`,
  ),
);

beforeAll(async () => {
  servers = await startServers();
  gateway = await startGateway(servers);
});
afterAll(async () => {
  await gateway?.stop();
  await servers?.stop();
});
beforeEach(() => {
  const { peers } = servers;
  user = newUser(servers.key);
  allowOnly(peers, everything);
  peers.answer('identity.account.get.v1', ({ id }) => ({ ...sample.account, id }));
  peers.answer('identity.account.create.v1', ({ id, email, name }) => ({ ...sample.account, id, email, name }));
  peers.answer('identity.account.update.v1', ({ id }) => ({ ...sample.account, id }));
  peers.answer('identity.account.delete.v1', () => ({}));
  peers.answer('rbac.principal.get.v1', ({ principalId }) => ({
    principalId,
    isActive: true,
    roles: [sample.roleOfUser],
    permissions: ['users:view'],
    revision: 7,
  }));
  peers.answer('rbac.principal.replace_roles.v1', ({ roleIds }) => ({
    roles: roleIds.map((id) => ({ id, name: 'Support' })),
    effect: effectAt(9),
  }));
  peers.answer('rbac.principal.set_active.v1', () => ({ effect: effectAt(10) }));
  peers.answer('identity.session.revoke.v1', () => ({}));
  peers.answer('identity.session.revoke_all.v1', () => ({ revoked: 2 }));
  peers.forget();
});

const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  gateway.fetch(path, {
    method,
    headers: { ...user.headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
const order = () =>
  servers.peers.received
    .map(({ subject }) => subject)
    .filter((subject) => /^(identity\.account|rbac\.principal)/.test(subject));
const refuse = (code: ConstructorParameters<typeof AppError>[0]) => () => {
  throw new AppError(code);
};

describe('auth', () => {
  test('a login answers tokens, passes the device token on and leaves nothing of the body in the answer', async () => {
    servers.peers.answer('identity.session.login.v1', ({ deviceToken }) => ({
      ...sample.tokens,
      deviceToken: deviceToken ?? 'new-device',
    }));
    const login = (body: object) => gateway.fetch('/api/auth/login', { method: 'POST', ...json(body) });
    const first = await login({ email: ' Ada@Example.com ', password });
    expect([first.status, await first.json()]).toEqual([200, { ...sample.tokens, device_token: 'new-device' }]);
    expect(first.headers.get('cache-control')).toBe('no-store');
    expect(servers.peers.calls('identity.session.login.v1')[0]?.request).toEqual({
      email: 'ada@example.com',
      password,
    });
    const again = await login({ email: 'ada@example.com', password, device_token: 'known' });
    expect(await again.json()).toMatchObject({ device_token: 'known' });
  });

  test('a locked login says when to come back', async () => {
    servers.peers.answer('identity.session.login.v1', () => {
      throw new AppError('login_locked', { details: { retryAfterSeconds: 840 } });
    });
    const response = await gateway.fetch('/api/auth/login', { method: 'POST', ...json({ email: 'a@b.de', password }) });
    expect([response.status, (await problemOf(response)).code]).toEqual([429, 'login_locked']);
    expect(response.headers.get('retry-after')).toBe('840');
  });

  test('a refresh passes the Idempotency-Key on, and refuses one that is none', async () => {
    servers.peers.answer('identity.session.refresh.v1', () => sample.tokens);
    const refresh = (key: string) =>
      gateway.fetch('/api/auth/refresh', {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': key },
        body: JSON.stringify({ refresh_token: 'r' }),
      });
    expect((await refresh('retry-0001')).status).toBe(200);
    expect(servers.peers.calls('identity.session.refresh.v1')[0]?.request).toEqual({
      refreshToken: 'r',
      idempotencyKey: 'retry-0001',
    });
    expect((await refresh('short')).status).toBe(400);
  });

  test('a logout is asked of identity, whose answer says that it is in force everywhere', async () => {
    servers.peers.answer('identity.session.revoke.v1', ({ sessionId }) => {
      servers.identity.revokeSession(sessionId);
      return {};
    });
    const before = user;
    expect((await call('POST', '/api/auth/logout')).status).toBe(204);
    await eventually(async () => {
      const after = await gateway.fetch('/api/auth/me', { headers: before.headers });
      expect([after.status, (await problemOf(after)).code]).toEqual([401, 'session_revoked']);
      return true;
    });
  });

  test('me is the account with roles and effective permissions', async () => {
    const response = await call('GET', '/api/auth/me');
    expect(await response.json()).toEqual({
      ...sample.account,
      id: user.id,
      sessionId: user.sessionId,
      roles: [sample.roleOfUser],
      permissions: ['users:view'],
    });
  });

  test('of the own sessions exactly this one is current', async () => {
    const { session } = sample;
    servers.peers.answer('identity.session.list.v1', ({ accountId }) => ({
      data: [user.sessionId, sample.ids.session].map((id) => ({ ...session, id, accountId })),
    }));
    const { data } = (await (await call('GET', '/api/auth/sessions')).json()) as { data: Record<string, unknown>[] };
    expect(data.map(({ current }) => current)).toEqual([true, false]);
    expect(data[0]).not.toHaveProperty('accountId');
  });
});

describe('creating a user', () => {
  const body = { email: 'ada@example.com', name: 'Ada', password, roleIds: [sample.ids.role] };

  test('gives the roles first and then makes the account, under one id', async () => {
    const response = await call('POST', '/api/users', body);
    const created = (await response.json()) as { id: string };
    expect([response.status, created]).toMatchObject([201, { roles: [{ id: sample.ids.role, name: 'Support' }] }]);
    expect(response.headers.get('x-revision')).toBe('9');
    expect(response.headers.get('location')).toBe(`/api/users/${created.id}`);
    expect(order()).toEqual(['rbac.principal.replace_roles.v1', 'identity.account.create.v1']);
    expect(servers.peers.calls('rbac.principal.replace_roles.v1')[0]?.request).toMatchObject({
      principalId: created.id,
    });
  });

  test('takes the roles away again when the account is refused', async () => {
    servers.peers.answer('identity.account.create.v1', refuse('email_taken'));
    const response = await call('POST', '/api/users', body);
    expect([response.status, (await problemOf(response)).code]).toEqual([409, 'email_taken']);
    const roleIds = servers.peers
      .calls('rbac.principal.replace_roles.v1')
      .map(({ request }) => (request as { roleIds: [] }).roleIds);
    expect(roleIds).toEqual([[sample.ids.role], []]);
  });

  test('makes no account when the roles may not be given', async () => {
    servers.peers.answer('rbac.principal.replace_roles.v1', refuse('escalation_refused'));
    expect((await call('POST', '/api/users', body)).status).toBe(403);
    expect(servers.peers.calls('identity.account.create.v1')).toEqual([]);
  });

  test('is a success when only the answer of the creation was lost', async () => {
    servers.peers.answer('identity.account.create.v1', refuse('unavailable'));
    expect((await call('POST', '/api/users', body)).status).toBe(201);
    expect(order().at(-1)).toBe('identity.account.get.v1');
  });

  test('is undone and 503 when identity is away', async () => {
    servers.peers.answer('identity.account.create.v1', refuse('unavailable'));
    servers.peers.answer('identity.account.get.v1', refuse('unavailable'));
    expect((await call('POST', '/api/users', body)).status).toBe(503);
    expect(order().at(-1)).toBe('rbac.principal.replace_roles.v1');
  });
});

describe('changing and deleting a user', () => {
  const path = `/api/users/${sample.ids.user}`;

  test('a deactivation asks rbac first, so that the last administrator stays', async () => {
    expect((await call('PATCH', path, { isActive: false })).status).toBe(200);
    expect(order().slice(1, 3)).toEqual(['rbac.principal.set_active.v1', 'identity.account.update.v1']);
    servers.peers.answer('rbac.principal.set_active.v1', refuse('last_administrator'));
    servers.peers.forget();
    const refused = await call('PATCH', path, { isActive: false });
    expect([refused.status, (await problemOf(refused)).code]).toEqual([409, 'last_administrator']);
    expect(servers.peers.calls('identity.account.update.v1')).toEqual([]);
  });

  test('rbac does not count a user as active whom identity has just switched off', async () => {
    // Somebody switched it on between the two steps.
    const get = (isActive: boolean) => () => ({
      principalId: user.id,
      isActive,
      roles: [],
      permissions: [],
      revision: 7,
    });
    servers.peers.answer('rbac.principal.get.v1', get(true));
    expect((await call('PATCH', path, { isActive: false })).status).toBe(200);
    expect(order().slice(1)).toEqual([
      'rbac.principal.set_active.v1',
      'identity.account.update.v1',
      'rbac.principal.get.v1',
      'rbac.principal.set_active.v1',
    ]);
    servers.peers.answer('rbac.principal.get.v1', get(false));
    servers.peers.forget();
    expect((await call('PATCH', path, { isActive: false })).status).toBe(200);
    expect(servers.peers.calls('rbac.principal.set_active.v1')).toHaveLength(1);
  });

  test('a user who is deleted while he is switched on is switched off again', async () => {
    servers.peers.answer('identity.account.update.v1', refuse('not_found'));
    expect((await call('PATCH', path, { isActive: true })).status).toBe(404);
    expect(servers.peers.calls('rbac.principal.set_active.v1').map(({ request }) => request)).toMatchObject([
      { isActive: true },
      { isActive: false },
    ]);
  });

  test('a new name does not touch rbac', async () => {
    expect((await call('PATCH', path, { name: 'Ada L.' })).status).toBe(200);
    expect(servers.peers.calls('rbac.principal.set_active.v1')).toEqual([]);
  });

  test('a change of nothing is refused', async () => {
    expect((await call('PATCH', path, {})).status).toBe(400);
  });

  test('a deletion takes the user out of the policy first, and nothing at all from one who does not exist', async () => {
    expect((await call('DELETE', path)).status).toBe(204);
    expect(servers.peers.calls('rbac.principal.replace_roles.v1')[0]?.request).toMatchObject({
      roleIds: [],
      isLeaving: true,
    });
    expect(order().slice(1)).toEqual(['rbac.principal.replace_roles.v1', 'identity.account.delete.v1']);
    servers.peers.answer('identity.account.get.v1', refuse('not_found'));
    servers.peers.forget();
    expect((await call('DELETE', path)).status).toBe(404);
    expect(order()).toEqual(['identity.account.get.v1']);
  });

  test('a reset code for somebody who may come to more than the caller could give is refused', async () => {
    servers.peers.answer('identity.password.issue_reset.v1', () => ({
      resetCode: 'once',
      expiresAt: '2026-01-31T10:00:00.000Z',
    }));
    const reaches = ({ grantable, attainable }: { grantable: string[]; attainable: string[] }) =>
      servers.peers.answer('rbac.principal.get.v1', ({ principalId }) => ({
        principalId,
        isActive: true,
        roles: [],
        permissions: ['users:edit', 'rbac:edit'],
        reach: principalId === user.id ? { attainable: [], grantable } : { attainable, grantable: [] },
        revision: 7,
      }));
    reaches({ grantable: ['users:edit'], attainable: ['users:edit'] });
    expect((await call('POST', `${path}/password-reset`)).status).toBe(201);
    // Not what the two may do at this moment: a role that is switched on later, a right of the caller's that ends.
    reaches({ grantable: ['users:edit'], attainable: ['users:edit', 'rbac:edit'] });
    const refused = await call('POST', `${path}/password-reset`);
    expect([refused.status, (await problemOf(refused)).code]).toEqual([403, 'escalation_refused']);
    expect((await call('POST', `/api/users/${user.id}/password-reset`)).status).toBe(201);
  });

  test('a dry run of new roles answers who would gain what, and no revision', async () => {
    const preview = {
      gained: [{ principalId: sample.ids.user, permission: 'users:view' }],
      lost: [],
      gainedCount: 1,
      lostCount: 0,
    };
    servers.peers.answer('rbac.principal.replace_roles.v1', ({ dryRun }) => ({
      roles: [],
      effect: { ...effectAt(9), effective: dryRun ? 'none' : 'all' },
      ...(dryRun ? { preview } : {}),
    }));
    const response = await call('PUT', `${path}/roles?dryRun=true`, { roleIds: [sample.ids.role] });
    expect([response.status, await response.json()]).toEqual([200, { roles: [], preview }]);
    expect(response.headers.get('x-revision')).toBeNull();
  });
});

describe('AuthZEN', () => {
  const asked = (id: string, name = 'view') => ({
    subject: { type: 'user', id },
    action: { name },
    resource: { type: 'rbac', id: '1' },
  });

  test('one evaluation is a decision with reason and revision', async () => {
    const response = await call('POST', '/api/access/v1/evaluation', asked(sample.ids.user));
    expect(await response.json()).toEqual({ decision: true, context: { reason: 'granted', revision: 7 } });
    const denied = await call('POST', '/api/access/v1/evaluation', asked(sample.ids.user, 'destroy'));
    expect(await denied.json()).toEqual({ decision: false, context: { reason: 'no_grant', revision: 7 } });
    const nobody = await call('POST', '/api/access/v1/evaluation', asked('alice'));
    expect(await nobody.json()).toEqual({ decision: false, context: { reason: 'unknown_principal' } });
  });

  test('a batch is one message at one revision, with defaults and the semantic that was asked for', async () => {
    const { subject, resource } = asked(sample.ids.user);
    const evaluations = [{ action: { name: 'view' } }, { action: { name: 'destroy' } }, { action: { name: 'edit' } }];
    const batch = async (semantic: string) => {
      const body = { subject, resource, evaluations, options: { evaluations_semantic: semantic } };
      const answer = (await (await call('POST', '/api/access/v1/evaluations', body)).json()) as {
        evaluations: { decision: boolean }[];
      };
      return answer.evaluations.map(({ decision }) => decision);
    };
    expect(await batch('execute_all')).toEqual([true, false, true]);
    expect(await batch('deny_on_first_deny')).toEqual([true, false]);
    expect(await batch('permit_on_first_permit')).toEqual([true]);
    const incomplete = await call('POST', '/api/access/v1/evaluations', { evaluations });
    expect([incomplete.status, (await problemOf(incomplete))['violations']]).toEqual([
      400,
      [{ pointer: '/evaluations/0', message: 'needs subject, action and resource' }],
    ]);
  });
});

describe('audit', () => {
  test('an export streams every page and ends with its checkpoint; one that fails half-way has none', async () => {
    const entries = (from: number) => [{ index: from, receivedAt: '2026-01-31T09:30:00.000Z', entry: '{}' }];
    servers.peers.answer('audit.event.export.v1', ({ cursor }) => ({
      data: entries(Number(cursor ?? 0)),
      nextCursor: cursor === '2' ? null : String(Number(cursor ?? 0) + 1),
      checkpoint: 'note',
    }));
    const whole = await call('GET', '/api/audit/export?action=role.create');
    expect(whole.headers.get('content-type')).toBe('application/x-ndjson');
    const lines = (await whole.text())
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect(lines).toEqual([...[0, 1, 2].map((index) => entries(index)[0]), { checkpoint: 'note' }]);

    servers.peers.answer('audit.event.export.v1', ({ cursor }) => {
      if (cursor !== undefined) throw new AppError('unavailable');
      return { data: entries(0), nextCursor: '1', checkpoint: 'note' };
    });
    const broken = await call('GET', '/api/audit/export')
      .then((response) => response.text())
      .catch(() => 'cut off');
    expect(broken).not.toContain('checkpoint');

    servers.peers.answer('audit.event.export.v1', refuse('unavailable'));
    expect((await call('GET', '/api/audit/export')).status).toBe(503);
  });

  test('checkpoint and tiles need no token; a proof does, as JSON or as text', async () => {
    const open = await gateway.fetch('/api/audit/checkpoint');
    expect(open.status).toBe(503);
    servers.peers.answer('audit.tile.get.v1', ({ level, index, width }) => ({
      data: Buffer.from(`${level} ${index} ${width}`).toString('base64'),
    }));
    const tile = async (path: string) => {
      const response = await gateway.fetch(`/api/audit/tile/${path}`);
      return response.status === 200 ? response.text() : response.status;
    };
    expect(await tile('0/000')).toBe('0 0 256');
    expect(await tile('1/x001/234.p/17')).toBe('1 1234 17');
    for (const path of ['0/0', '0/x000/001', '0/000.p/256', '0/000.p/0', '7/000', 'x/000', '0/../000']) {
      expect([path, await tile(path)]).toEqual([path, 404]);
    }
    servers.peers.answer('audit.event.proof.v1', () => ({
      index: 1,
      treeSize: 2,
      entry: 'e30=',
      proof: ['CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I='],
      checkpoint: 'origin\n2\nroot\n\nsignature\n',
    }));
    const path = `/api/audit/events/${sample.ids.event}/proof`;
    expect((await gateway.fetch(path)).status).toBe(401);
    expect(await (await call('GET', path)).json()).toMatchObject({ index: 1, treeSize: 2 });
    expect(await (await call('GET', path, undefined, { accept: 'text/plain' })).text()).toBe(
      'c2sp.org/tlog-proof@v1\nindex 1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\norigin\n2\nroot\n\nsignature\n',
    );
  });
});
