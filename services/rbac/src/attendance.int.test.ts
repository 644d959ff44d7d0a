import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { NatsConnection } from '@nats-io/transport-node';
import type { AppError } from '@prime-nest/contracts/errors';
import { rbacRpc } from '@prime-nest/contracts/rbac';
import { type BusClient, createBusClient } from '@prime-nest/kit/bus/client';
import { newId } from '@prime-nest/kit/ids';
import { silentLogger } from '@prime-nest/kit/log';
import { eventually } from '@prime-nest/testkit/eventually';
import { type TestNats, startTestNats } from '@prime-nest/testkit/nats';
import { type TestDatabase, createTestDatabase } from '@prime-nest/testkit/postgres';
import { administrator, connectAs } from '../test/harness.js';
import { type Started, buildRbac, prepare, startProcess } from '../test/processes.js';
import { type Proxy, proxyOf } from '../test/proxy.js';

/** Three processes; the network between one of them and PostgreSQL is ours to take away. */
let nats: TestNats;
let server: TestDatabase;
let proxy: Proxy;
let gateway: NatsConnection;
let bus: BusClient<typeof rbacRpc>;
let healthy: Started[] = [];
let lonely: Started;
let roleIds: string[];

beforeAll(async () => {
  await buildRbac();
  [nats, server] = await Promise.all([startTestNats(), createTestDatabase({ service: 'rbac' })]);
  await prepare({ nats, server });
  proxy = await proxyOf(server.url);
  const extra = { LOG_LEVEL: 'warn', RBAC_LEASE_MS: '1500', RBAC_HEARTBEAT_MS: '100' };
  healthy = [startProcess('main', { nats, server }, extra), startProcess('main', { nats, server }, extra)];
  lonely = startProcess('main', { nats, server: { ...server, url: proxy.url } }, { ...extra, LOG_LEVEL: 'info' });
  gateway = await connectAs(nats, 'gateway');
  bus = createBusClient({ connection: gateway, contracts: rbacRpc, log: silentLogger() });
  await eventually(
    async () => {
      const { members } = await bus.call('rbac.guarantee.get.v1', {}, administrator);
      return members.filter(({ isLive }) => isLive).length === 3 && lonely.healthPort() > 0;
    },
    { deadlineMs: 30_000 },
  );
  const { data } = await bus.call('rbac.role.list.v1', { search: 'viewer' }, administrator);
  roleIds = data.map(({ id }) => id);
}, 90_000);
afterAll(async () => {
  for (const one of [...healthy, lonely]) await one.stop('SIGTERM');
  await gateway.close();
  await proxy.close();
  await nats.stop();
  await server.drop();
});

async function ask(principalId: string): Promise<'allow' | 'deny' | 'unavailable'> {
  const checks = [{ principalId, permission: 'audit:view' }];
  try {
    const { decisions } = await bus.call('rbac.access.decide.v1', { checks }, administrator);
    return decisions[0]?.effect ?? 'unavailable';
  } catch (error) {
    if ((error as AppError).code === 'unavailable') return 'unavailable';
    throw error;
  }
}

/** Also what a replica in trouble answers: a mutation that it cannot make is made by another one. */
async function setRoles(principalId: string, isGranted: boolean): Promise<void> {
  const request = { principalId, roleIds: isGranted ? roleIds : [] };
  await eventually(() => bus.call('rbac.principal.replace_roles.v1', request, administrator), { deadlineMs: 20_000 });
}

async function served({ healthPort }: Started): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${healthPort()}/metrics`)).text();
  const counts = text.matchAll(/^prime_nest_decisions_total\{[^}]*\} (\d+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** Why the process is not ready; empty while it is. */
async function complaints({ healthPort }: Started): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${healthPort()}/health/readiness`);
  return response.ok ? '' : await response.text();
}

async function burst(principalId: string): Promise<Record<string, number>> {
  const tally: Record<string, number> = {};
  for (let i = 0; i < 20; i++) {
    for (const answer of await Promise.all(Array.from({ length: 15 }, () => ask(principalId))))
      tally[answer] = (tally[answer] ?? 0) + 1;
  }
  return tally;
}

describe.each(['cut', 'freeze'] as const)('a replica that loses PostgreSQL (%s)', (how) => {
  test('leaves its questions to the others, allows nothing that was revoked, and comes back by itself', async () => {
    const principalId = newId();
    await setRoles(principalId, true);
    const before = await served(lonely);
    expect(await burst(principalId)).toEqual({ allow: 300 });
    // The control: while it has the database it answers its share.
    expect(await served(lonely)).toBeGreaterThan(before);

    proxy[how]();
    let stale = 0;
    for (let round = 0; round < 4; round++) {
      await setRoles(principalId, true);
      await setRoles(principalId, false);
      const answers = await Promise.all(Array.from({ length: 50 }, () => ask(principalId)));
      stale += answers.filter((answer) => answer === 'allow').length;
    }
    expect(stale).toBe(0);
    await eventually(async () => (await complaints(lonely)).includes('rpc'));
    const gone = await served(lonely);
    expect(await burst(principalId)).toEqual({ deny: 300 });
    expect(await served(lonely)).toBe(gone);

    proxy.restore();
    await eventually(async () => (await complaints(lonely)) === '', { deadlineMs: 30_000 });
    expect(await burst(principalId)).toEqual({ deny: 300 });
    expect(await served(lonely)).toBeGreaterThan(gone);
  }, 90_000);
});
