import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { AppError } from '@prime-nest/contracts/errors';
import { systemClock } from '@prime-nest/kit/clock';
import { newId } from '@prime-nest/kit/ids';
import { systemClocks } from '@prime-nest/kit/lease';
import { silentLogger } from '@prime-nest/kit/log';
import { createOutbox } from '@prime-nest/kit/outbox/outbox';
import { eventually } from '@prime-nest/testkit/eventually';
import type { TestDatabase } from '@prime-nest/testkit/postgres';
import { writeRoles } from '../assignment/principal.command.js';
import {
  LocalFleet,
  type TestReplica,
  actingAs,
  administrator,
  administratorId,
  createRbacDatabase,
  openRbacDatabase,
  roleId,
  seededRandom,
  startReplica,
} from '../../test/harness.js';
import { proxyOf } from '../../test/proxy.js';
import { decide } from './decide.js';
import { HistoryStore } from './history.store.js';
import { createSeedMutator } from './policy.module.js';
import { Replica } from './replica.store.js';

let server: TestDatabase;
const replicas: TestReplica[] = [];
let fleet: LocalFleet;

beforeAll(async () => {
  server = await createRbacDatabase();
});
afterAll(() => server.drop());
afterEach(async () => {
  for (const replica of replicas.splice(0)) await replica.close();
});

async function start(count: number, options: { leaseMs?: number; heartbeatMs?: number; isLeased?: boolean } = {}) {
  fleet = new LocalFleet();
  for (let i = 0; i < count; i++) replicas.push(await startReplica({ server, fleet: fleet.connect(), ...options }));
  return replicas as [TestReplica, ...TestReplica[]];
}

const check = (principalId: string) => ({ principalId, permission: 'audit:view' });
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'ok',
    (error: AppError) => error.code,
  );

async function ask({ replica }: TestReplica, principalId: string): Promise<'allow' | 'deny' | 'unavailable'> {
  try {
    const { snapshot, nowMs } = await replica.fresh();
    return decide(snapshot, check(principalId), nowMs).effect;
  } catch (error) {
    if ((error as AppError).code === 'unavailable') return 'unavailable';
    throw error;
  }
}

function setRoles(replica: TestReplica, principalId: string, isGranted: boolean) {
  const roleIds = isGranted ? [roleId(replica, 'Viewer')] : [];
  return replica.principals.replaceRoles({ principalId, roleIds, dryRun: false }, administrator);
}

/** Grants and revokes while every replica is asked all the time; counts allows that were asked for after a revocation was answered. */
async function staleAllows(
  all: TestReplica[],
  rounds: number,
): Promise<{ stale: number; asked: number; answers: Set<string> }> {
  const principalId = newId();
  const random = seededRandom(7);
  const answers = new Set<string>();
  let [isRevoked, isOver, stale, asked] = [true, false, 0, 0];
  const checkers = all.map(async (replica) => {
    while (!isOver) {
      const mustDeny = isRevoked;
      const answer = await ask(replica, principalId);
      answers.add(answer);
      asked++;
      if (mustDeny && isRevoked && answer === 'allow') stale++;
      await new Promise(setImmediate);
    }
  });
  for (let round = 0; round < rounds; round++) {
    isRevoked = false;
    await setRoles(random.pick(all), principalId, true);
    await setRoles(random.pick(all), principalId, false);
    isRevoked = true;
    for (const replica of all) if ((await ask(replica, principalId)) === 'allow') stale++;
    asked += all.length;
  }
  isOver = true;
  await Promise.all(checkers);
  return { stale, asked, answers };
}

describe('after a revocation was answered no replica allows any more', () => {
  test('with leases and messages between the replicas', async () => {
    const { stale, asked, answers } = await staleAllows(await start(3), 60);
    expect(stale).toBe(0);
    expect(asked).toBeGreaterThan(500);
    expect([...answers]).toEqual(expect.arrayContaining(['allow', 'deny']));
  });

  test('with leases when every message between the replicas is lost', async () => {
    const all = await start(3);
    fleet.isCut = true;
    const { stale } = await staleAllows(all, 12);
    expect(stale).toBe(0);
  });

  test('without leases, by reading the head revision', async () => {
    const { stale } = await staleAllows(await start(3, { isLeased: false }), 60);
    expect(stale).toBe(0);
  });

  test('the control: without waiting and without proof of freshness there are stale allows', async () => {
    const all = await start(3);
    const principalId = newId();
    const hasty = await createSeedMutator({
      database: all[0].database,
      outbox: createOutbox({ service: 'rbac', clock: systemClock }),
      log: silentLogger(),
    });
    let stale = 0;
    for (let round = 0; round < 20; round++) {
      await setRoles(all[0], principalId, true);
      await hasty.run({
        op: 'principal.replace_roles',
        needs: ['users:assign_roles'],
        context: administrator,
        write: writeRoles({ principalId, roleIds: [] }),
      });
      for (const { replica } of all) if (decide(replica.snapshot, check(principalId), 0).effect === 'allow') stale++;
    }
    expect(stale).toBeGreaterThan(0);
  });
});

describe('a replica that does not answer', () => {
  test('is waited for until its lease has ended, and decides by nothing old afterwards', async () => {
    const [writer] = await start(1);
    const silent = await startReplica({ server, leaseMs: 2_000, heartbeatMs: 60_000 });
    replicas.push(silent);
    const principalId = newId();
    await setRoles(writer, principalId, true);
    await silent.heartbeat.beat();
    expect(await ask(silent, principalId)).toBe('allow');
    const revoking = setRoles(writer, principalId, false);
    await eventually(() => writer.replica.snapshot.revision > silent.replica.snapshot.revision);
    // The control: before the answer it may still allow, and here it does.
    expect(await ask(silent, principalId)).toBe('allow');
    const { effect } = await revoking;
    expect(effect.fenced).toEqual([silent.memberId]);
    expect(effect.acked).toEqual([writer.memberId]);
    expect(await ask(silent, principalId)).toBe('deny');
  });

  test('is not waited for after it has left', async () => {
    const [writer, leaver] = await start(2, { leaseMs: 3_000, heartbeatMs: 60_000 });
    await leaver?.stop();
    const { effect } = await setRoles(writer, newId(), true);
    expect(effect.acked).toEqual([writer.memberId]);
    expect(effect.fenced).toEqual([]);
  });
});

describe('a replica that has not read the policy yet', () => {
  test('builds nothing on the history alone, which would be newer than what it is reading and stand in its way', async () => {
    const [writer] = await start(1);
    const database = await openRbacDatabase(server);
    try {
      const replica = new Replica({ database, clocks: systemClocks, log: silentLogger() });
      await setRoles(writer, newId(), true);
      const { revision } = writer.replica.snapshot;
      expect(await codeOf(replica.advanceTo(revision))).toBe('unavailable');
      expect(replica.snapshot.revision).toBe(0);
      await replica.load();
      await replica.check();
      expect(replica.snapshot.revision).toBeGreaterThanOrEqual(revision);
    } finally {
      await database.close();
    }
  });
});

describe('a replica that has lost the database', () => {
  test.each(['cut', 'freeze'] as const)(
    'answers unavailable once its lease has ended, never from memory (%s)',
    async (how) => {
      const [writer] = await start(1);
      const proxy = await proxyOf(server.url);
      const lonely = await startReplica({ server: proxy, leaseMs: 1_500, heartbeatMs: 50 });
      const principalId = newId();
      await setRoles(writer, principalId, true);
      expect(await ask(lonely, principalId)).toBe('allow');
      proxy[how]();
      const { effect } = await setRoles(writer, principalId, false);
      expect(effect.fenced).toEqual([lonely.memberId]);
      expect(await ask(lonely, principalId)).toBe('unavailable');
      expect(await codeOf(setRoles(lonely, newId(), true))).toBe('unavailable');
      proxy.restore();
      await eventually(async () => (await ask(lonely, principalId)) === 'deny');
      await lonely.close();
      await proxy.close();
    },
  );

  test('recompiles when the database comes back with an older state', async () => {
    const own = await createRbacDatabase();
    const replica = await startReplica({ server: own, isLeased: false });
    const principalId = newId();
    await setRoles(replica, principalId, true);
    const owner = await openRbacDatabase({ url: own.ownerUrl });
    await owner.query(`DELETE FROM principal_role WHERE principal_id = $1`, [principalId]);
    await owner.query(`DELETE FROM rbac_changelog WHERE revision = (SELECT max(revision) FROM rbac_changelog)`);
    await owner.query(`UPDATE rbac_state SET revision = revision - 1`);
    expect(await ask(replica, principalId)).toBe('deny');
    await owner.close();
    await replica.close();
    await own.drop();
  });
});

describe('a connection that is lost at any moment of a mutation', () => {
  test('leaves rows, history and event of all of it or of nothing, and the same mutation sent again completes it', async () => {
    const own = await createRbacDatabase();
    const proxy = await proxyOf(own.url);
    const replica = await startReplica({ server: proxy });
    const witness = await startReplica({ server: own });
    const random = seededRandom(20_260_304);
    const codes = new Set<string>();
    for (let round = 0; round < 25; round++) {
      const principalId = newId();
      // Every other round is left in peace; the first cut comes before anything can be sent.
      const delayMs = round === 1 ? 0 : random.below(20);
      const timer = setTimeout(() => round % 2 === 1 && proxy.cut(), delayMs);
      codes.add(await codeOf(setRoles(replica, principalId, true)));
      clearTimeout(timer);
      proxy.cut();
      proxy.restore();
      await eventually(async () => (await codeOf(setRoles(replica, principalId, true))) === 'ok');
      expect(await ask(witness, principalId)).toBe('allow');
    }
    // The control: some were cut in the middle, some had got through.
    expect(codes).toEqual(new Set(['ok', 'unavailable']));
    const [counted] = await witness.database.query(
      `SELECT (SELECT revision FROM rbac_state)::integer AS head, (SELECT count(*) FROM rbac_changelog)::integer AS changes,
              (SELECT count(*) FROM outbox)::integer AS events, (SELECT count(*) FROM principal_role)::integer AS assigned`,
    );
    const seeded = (await witness.database.query(`SELECT 1 FROM seed_item`)).length;
    const all = seeded + 25;
    expect(counted).toEqual({ head: all, changes: all, events: all, assigned: 25 + 1 });
    for (const one of [replica, witness]) await one.close();
    await proxy.close();
    await own.drop();
  });
});

describe('callers at the same time', () => {
  test('one of many administrators always remains, whoever leaves at once through whichever replica', async () => {
    const own = await createRbacDatabase();
    const all = await Promise.all([1, 2, 3].map(() => startReplica({ server: own })));
    const [first] = all as [TestReplica];
    const roleIds = [roleId(first, 'Super Admin')];
    const people = Array.from({ length: 9 }, () => newId());
    for (const principalId of people)
      await first.principals.replaceRoles({ principalId, roleIds, dryRun: false }, administrator);
    await first.principals.replaceRoles({ principalId: administratorId, roleIds: [], dryRun: false }, administrator);
    const codes = await Promise.all(
      people.map((principalId, index) => {
        const { principals } = all[index % 3] as TestReplica;
        const self = actingAs(principalId);
        if (index % 2 === 0) return codeOf(principals.replaceRoles({ principalId, roleIds: [], dryRun: false }, self));
        return codeOf(principals.setActive({ principalId, isActive: false, dryRun: false }, self));
      }),
    );
    expect(codes.filter((code) => code === 'ok')).toHaveLength(8);
    expect(codes.filter((code) => code === 'last_administrator')).toHaveLength(1);
    for (const replica of all) await replica.close();
    await own.drop();
  });

  test('a role is deleted or assigned, never both', async () => {
    const [one, two] = (await start(2)) as [TestReplica, TestReplica];
    const outcomes = new Set<string>();
    for (let round = 0; round < 30; round++) {
      const { result: role } = await one.roles.create(
        { name: `r ${newId()}`, description: '', isActive: true },
        administrator,
      );
      const assign = () =>
        two.principals.replaceRoles({ principalId: newId(), roleIds: [role.id], dryRun: false }, administrator);
      const remove = () => one.roles.delete({ id: role.id, dryRun: false }, administrator);
      const calls = round % 2 === 0 ? [remove(), assign()] : [assign(), remove()];
      const codes = (await Promise.all(calls.map(codeOf))).sort().join(' ');
      expect(['in_use ok', 'ok reference_missing']).toContain(codes);
      outcomes.add(codes);
    }
    // The control: both orders happened.
    expect(outcomes.size).toBe(2);
  });

  test('an actor who is losing his right cannot use it after the revision that took it', async () => {
    const [one, two] = (await start(2)) as [TestReplica, TestReplica];
    const roleIds = [roleId(one, 'Super Admin')];
    const principalId = newId();
    for (let round = 0; round < 15; round++) {
      await one.principals.replaceRoles({ principalId, roleIds, dryRun: false }, administrator);
      const [fall, attempt] = await Promise.all([
        one.principals.replaceRoles({ principalId, roleIds: [], dryRun: false }, administrator),
        two.principals
          .setActive({ principalId: newId(), isActive: true, dryRun: false }, actingAs(principalId))
          .catch((error: AppError) => error),
      ]);
      if ('effect' in attempt) expect(attempt.effect.revision).toBeLessThan(fall.effect.revision);
      else expect(attempt.code).toBe('forbidden');
    }
  });
});

test('after random administration by several actors every replica, the rows and the history agree', async () => {
  const all = await start(3);
  const random = seededRandom(20_260_303);
  const people = Array.from({ length: 8 }, () => newId());
  const roles: string[] = [];
  for (let i = 0; i < 4; i++) {
    const { result } = await all[0].roles.create(
      { name: `w${i} ${newId()}`, description: '', isActive: true },
      administrator,
    );
    roles.push(result.id);
  }
  const permissions = [...all[0].replica.snapshot.permissions.keys()];
  const some = <T>(list: readonly T[], share: number) => list.filter(() => random.next() < share);
  let accepted = 0;
  for (let step = 0; step < 250; step++) {
    const { roles: roleCommands, principals } = random.pick(all);
    const context = random.next() < 0.5 ? administrator : actingAs(random.pick(people));
    const id = random.pick(roles);
    const principalId = random.pick(people);
    const isActive = random.next() < 0.8;
    const call = [
      () => roleCommands.replacePermissions({ id, permissionIds: some(permissions, 0.3), dryRun: false }, context),
      () => roleCommands.update({ id, name: `x ${id}`, description: '', isActive, dryRun: false }, context),
      () => principals.setActive({ principalId, isActive, dryRun: false }, context),
      () => principals.replaceRoles({ principalId, roleIds: some(roles, 0.4), dryRun: false }, context),
    ];
    const code = await codeOf(random.pick(call)());
    expect(['ok', 'forbidden', 'escalation_refused']).toContain(code);
    if (code === 'ok') accepted++;
  }
  expect(accepted).toBeGreaterThan(50);
  const rows = await all[0].database.query<{ principalId: string; name: string }>(
    `SELECT DISTINCT pr.principal_id AS "principalId", f.name || ':' || p.action AS name
       FROM principal_role pr JOIN principal u ON u.id = pr.principal_id AND u.is_active
       JOIN role r ON r.id = pr.role_id AND r.is_active
       JOIN role_permission rp ON rp.role_id = r.id JOIN permission p ON p.id = rp.permission_id
       JOIN feature f ON f.id = p.feature_id AND f.is_active`,
  );
  const expected = new Set(rows.map(({ principalId, name }) => `${principalId} ${name}`));
  const { snapshot: replayed } = await new HistoryStore(all[0]).policyAt(all[0].replica.snapshot.revision);
  const snapshots = [replayed];
  for (const { replica } of all) snapshots.push((await replica.fresh()).snapshot);
  for (const snapshot of snapshots) {
    for (const [principalId] of snapshot.principals.entries()) {
      for (const permission of snapshot.permissionsByName.keys()) {
        const isAllowed = decide(snapshot, { principalId, permission }, 0).effect === 'allow';
        expect({ principalId, permission, isAllowed }).toEqual({
          principalId,
          permission,
          isAllowed: expected.has(`${principalId} ${permission}`),
        });
      }
    }
  }
});
