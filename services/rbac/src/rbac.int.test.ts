import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { NatsConnection } from '@nats-io/transport-node';
import { rbacRpc } from '@prime-nest/contracts/rbac';
import { type BusClient, createBusClient } from '@prime-nest/kit/bus/client';
import { newId } from '@prime-nest/kit/ids';
import { silentLogger } from '@prime-nest/kit/log';
import { eventually } from '@prime-nest/testkit/eventually';
import { type TestNats, startTestNats } from '@prime-nest/testkit/nats';
import { type TestDatabase, createTestDatabase } from '@prime-nest/testkit/postgres';
import { actingAs, administrator, administratorId, connectAs } from '../test/harness.js';
import { type Started, buildRbac, prepare, startProcess } from '../test/processes.js';

let nats: TestNats;
let server: TestDatabase;
let gateway: NatsConnection;
let bus: BusClient<typeof rbacRpc>;
let running: Started[] = [];

const run = (entry: 'main' | 'migrate' | 'seed', extra?: Record<string, string>) =>
  startProcess(entry, { nats, server }, extra);

beforeAll(async () => {
  await buildRbac();
  [nats, server] = await Promise.all([startTestNats(), createTestDatabase({ service: 'rbac' })]);
  await prepare({ nats, server });
  // Each may be repeated at any time.
  await prepare({ nats, server });
  gateway = await connectAs(nats, 'gateway');
  bus = createBusClient({ connection: gateway, contracts: rbacRpc, log: silentLogger() });
  running = [run('main'), run('main')];
  for (const one of running) await eventually(() => one.output().includes('service.started'), { deadlineMs: 20_000 });
});
afterAll(async () => {
  for (const one of running) expect(await one.stop('SIGTERM')).toBe(0);
  await gateway.close();
  await nats.stop();
  await server.drop();
});

async function effects(principalId: string, permission: string, times: number): Promise<string[]> {
  const asked = Array.from({ length: times }, () =>
    bus.call('rbac.access.decide.v1', { checks: [{ principalId, permission }] }, administrator),
  );
  return (await Promise.all(asked)).map(({ decisions }) => decisions[0]?.effect ?? 'nothing');
}

describe('two processes of rbac', () => {
  test('answer ready with every check passing', async () => {
    for (const one of running) {
      const response = await fetch(`http://127.0.0.1:${one.healthPort()}/health/readiness`);
      expect(response.status).toBe(200);
    }
  });

  test('allow after a grant and deny after its revocation on whichever of them is asked', async () => {
    const principalId = newId();
    const roles = await bus.call('rbac.role.list.v1', { search: 'viewer' }, administrator);
    const roleIds = roles.data.map(({ id }) => id);
    const granted = await bus.call('rbac.principal.replace_roles.v1', { principalId, roleIds }, administrator);
    expect(granted.effect).toMatchObject({ effective: 'all' });
    expect(new Set(await effects(principalId, 'audit:view', 40))).toEqual(new Set(['allow']));
    await bus.call('rbac.principal.replace_roles.v1', { principalId, roleIds: [] }, administrator);
    expect(new Set(await effects(principalId, 'audit:view', 40))).toEqual(new Set(['deny']));
  });

  test('take an id in capitals for the same id: what it revokes, switches off or would leave without administrator', async () => {
    const principalId = newId();
    const { data } = await bus.call('rbac.role.list.v1', { search: 'viewer' }, administrator);
    const roleIds = data.map(({ id }) => id.toUpperCase());
    const set = (id: string, roles: string[]) =>
      bus.call('rbac.principal.replace_roles.v1', { principalId: id, roleIds: roles }, administrator);
    await set(principalId, roleIds);
    expect(new Set(await effects(principalId, 'audit:view', 10))).toEqual(new Set(['allow']));
    await set(principalId.toUpperCase(), []);
    expect(new Set(await effects(principalId, 'audit:view', 10))).toEqual(new Set(['deny']));
    await expect(set(administratorId.toUpperCase(), [])).rejects.toMatchObject({ code: 'last_administrator' });
    const features = await bus.call('rbac.feature.list.v1', { search: 'audit' }, administrator);
    const id = features.data[0]?.id.toUpperCase() ?? '';
    await bus.call('rbac.feature.update.v1', { id, description: '', isActive: false }, administrator);
    expect(new Set(await effects(administratorId, 'audit:view', 10))).toEqual(new Set(['deny']));
    await bus.call('rbac.feature.update.v1', { id, description: '', isActive: true }, administrator);
  });

  test('do not count as administrator, nor let do anything, whom a role reaches while his account is being deleted', async () => {
    const [principalId, staying] = [newId(), newId()];
    const { data } = await bus.call('rbac.role.list.v1', { search: 'admin' }, administrator);
    const roleIds = data.map(({ id }) => id);
    const replace = (id: string, roles: string[], more = {}) =>
      bus.call('rbac.principal.replace_roles.v1', { principalId: id, roleIds: roles, ...more }, administrator);
    await replace(principalId, roleIds);
    await replace(principalId, [], { isLeaving: true });
    await replace(principalId, roleIds);
    expect(new Set(await effects(principalId, 'users:view', 10))).toEqual(new Set(['deny']));
    await expect(replace(administratorId, [])).rejects.toMatchObject({ code: 'last_administrator' });
    // The control: somebody whose account stays does count.
    await replace(staying, roleIds);
    const resigned = await replace(administratorId, [], { dryRun: true });
    expect(resigned.preview).toBeDefined();
    await replace(staying, []);
    await expect(replace(staying, roleIds, { isLeaving: true })).rejects.toMatchObject({ code: 'validation_failed' });
    await replace(principalId, [], { isLeaving: true });
  });

  test('explain a decision now and as it was at an earlier revision', async () => {
    const principalId = newId();
    const check = { principalId, permission: 'audit:view' };
    const { data } = await bus.call('rbac.role.list.v1', { search: 'viewer' }, administrator);
    const granted = await bus.call(
      'rbac.principal.replace_roles.v1',
      { principalId, roleIds: [data[0]?.id ?? ''] },
      administrator,
    );
    await bus.call('rbac.principal.replace_roles.v1', { principalId, roleIds: [] }, administrator);
    const now = await bus.call('rbac.access.explain.v1', check, administrator);
    const then = await bus.call(
      'rbac.access.explain.v1',
      { ...check, atRevision: granted.effect.revision },
      administrator,
    );
    expect(now).toMatchObject({ decision: { effect: 'deny', reason: 'no_grant' }, grantedBy: [] });
    expect(then).toMatchObject({
      revision: granted.effect.revision,
      decision: { effect: 'allow' },
      grantedBy: [{ roleName: 'Viewer' }],
    });
    const beyond = bus.call('rbac.access.explain.v1', { ...check, atRevision: 1_000_000 }, administrator);
    await expect(beyond).rejects.toMatchObject({ code: 'not_found' });
  });

  test('refuse a mutation by somebody without the permission and by a service', async () => {
    const create = (context: typeof administrator) =>
      bus.call('rbac.role.create.v1', { name: `r ${newId()}` }, context);
    await expect(create(actingAs(newId()))).rejects.toMatchObject({ code: 'forbidden' });
    await expect(create({ ...administrator, actor: { type: 'service', id: 'rbac' } })).rejects.toMatchObject({
      code: 'forbidden',
    });
    await expect(create({ ...administrator, actor: { type: 'anonymous' } })).rejects.toMatchObject({
      code: 'forbidden',
    });
  });

  test('show what a principal may do and how the guarantee stands', async () => {
    const self = await bus.call('rbac.principal.get.v1', { principalId: administratorId }, administrator);
    expect(self.roles.map(({ name }) => name)).toEqual(['Super Admin']);
    expect(self.permissions).toContain('rbac:assign_permissions');
    const guarantee = await eventually(async () => {
      const now = await bus.call('rbac.guarantee.get.v1', {}, administrator);
      expect(now.members.filter(({ isLive }) => isLive)).toHaveLength(2);
      return now;
    });
    expect(guarantee.barrierMsMax).toBe(2_030);
  });

  test('answer unavailable, and neither allow nor deny, for a revision that does not exist', async () => {
    const checks = [{ principalId: administratorId, permission: 'users:view' }];
    const asked = bus.call('rbac.access.decide.v1', { checks, minRevision: 1_000_000 }, administrator);
    await expect(asked).rejects.toMatchObject({ code: 'unavailable' });
  });
});

test('a misspelt variable is named and the service does not start', async () => {
  const step = run('main', { RBAC_LEASE_MILLIS: '5', RBAC_HEARTBEAT_MS: '1500' });
  expect(await step.stop()).toBe(78);
  expect(step.output()).toContain('RBAC_LEASE_MILLIS');
  expect(step.output()).toContain('RBAC_HEARTBEAT_MS');
});
