import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { AppError } from '@prime-nest/contracts/errors';
import { newId } from '@prime-nest/kit/ids';
import type { TestDatabase } from '@prime-nest/testkit/postgres';
import { decide } from '../policy/decide.js';
import { previewOf } from '../policy/preview.js';
import {
  type TestReplica,
  actingAs,
  administrator,
  administratorId,
  createRbacDatabase,
  permissionIds,
  readEvents,
  roleId,
  seedDatabase,
  startReplica,
} from '../../test/harness.js';
import { listPermissions } from './permission.store.js';
import { findRole, listRoles } from './role.store.js';

let server: TestDatabase;
let rbac: TestReplica;

beforeAll(async () => {
  server = await createRbacDatabase();
  rbac = await startReplica({ server });
});
afterAll(async () => {
  await rbac.close();
  await server.drop();
});

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'ok',
    (error: AppError) => error.code,
  );
const newRole = (name = `role ${newId()}`) => ({ name, description: '', isActive: true });

async function allows(principalId: string, permission: string): Promise<boolean> {
  const { snapshot, nowMs } = await rbac.replica.fresh();
  return decide(snapshot, { principalId, permission }, nowMs).effect === 'allow';
}

describe('the seed', () => {
  test('gives the first administrator every permission there is', async () => {
    for (const name of rbac.replica.snapshot.permissionsByName.keys())
      expect(await allows(administratorId, name)).toBe(true);
    expect(rbac.replica.snapshot.permissionsByName.size).toBe(13);
  });

  test('applied again it writes nothing and keeps what an administrator changed or deleted', async () => {
    const own = await createRbacDatabase();
    const first = await startReplica({ server: own });
    const manager = roleId(first, 'Manager');
    await first.roles.replacePermissions(
      { id: manager, permissionIds: permissionIds(first, 'users:view'), dryRun: false },
      administrator,
    );
    await first.roles.delete({ id: roleId(first, 'Viewer'), dryRun: false }, administrator);
    const before = await readEvents(first.database);
    expect(await seedDatabase(own)).toEqual([]);
    expect(await readEvents(first.database)).toEqual(before);
    expect((await findRole(first.database, manager))?.permissions.map(({ name }) => name)).toEqual(['users:view']);
    expect((await listRoles(first.database, { limit: 10, offset: 0, search: 'viewer' })).total).toBe(0);
    await first.close();
    await own.drop();
  });

  test('two seeds at the same time apply each item once, with one event each', async () => {
    const own = await createRbacDatabase({ isSeeded: false });
    const [one, two] = await Promise.all([seedDatabase(own), seedDatabase(own)]);
    const applied = [...one, ...two];
    expect(new Set(applied).size).toBe(applied.length);
    expect(applied.length).toBe(3 + 13 + 3 + 1);
    const replica = await startReplica({ server: own });
    expect((await readEvents(replica.database)).map(({ event }) => event.resource.id).sort()).toEqual(applied.sort());
    await replica.close();
    await own.drop();
  });
});

describe('roles, features and permissions', () => {
  test('a new permission can be given on at once by an administrator, and takes effect', async () => {
    const principalId = newId();
    const { result: feature } = await rbac.features.create(
      { name: 'invoices', description: '', isActive: true },
      administrator,
    );
    const { result: permission } = await rbac.permissions.create(
      { featureId: feature.id, action: 'approve', description: '' },
      administrator,
    );
    expect(permission.name).toBe('invoices:approve');
    const { result: role } = await rbac.roles.create(newRole(), administrator);
    await rbac.roles.replacePermissions({ id: role.id, permissionIds: [permission.id], dryRun: false }, administrator);
    await rbac.principals.replaceRoles({ principalId, roleIds: [role.id], dryRun: false }, administrator);
    expect(await allows(principalId, 'invoices:approve')).toBe(true);
    const off = { id: feature.id, description: '', isActive: false };
    await rbac.features.update(off, administrator);
    expect(await allows(principalId, 'invoices:approve')).toBe(false);
    await rbac.features.update({ ...off, isActive: true }, administrator);
    expect(await allows(principalId, 'invoices:approve')).toBe(true);
    await rbac.roles.update({ ...role, isActive: false, dryRun: false, version: undefined }, administrator);
    expect(await allows(principalId, 'invoices:approve')).toBe(false);
  });

  test('what is in use cannot be deleted, and the answer says what holds it', async () => {
    const { result: feature } = await rbac.features.create(
      { name: 'held', description: '', isActive: true },
      administrator,
    );
    const { result: permission } = await rbac.permissions.create(
      { featureId: feature.id, action: 'view', description: '' },
      administrator,
    );
    const { result: role } = await rbac.roles.create(newRole(), administrator);
    await rbac.roles.replacePermissions({ id: role.id, permissionIds: [permission.id], dryRun: false }, administrator);
    await rbac.principals.replaceRoles({ principalId: newId(), roleIds: [role.id], dryRun: false }, administrator);
    const refused = (heldBy: object) => ({ code: 'in_use', details: { heldBy } });
    await expect(rbac.features.delete({ id: feature.id }, administrator)).rejects.toMatchObject(
      refused({ permissions: 1 }),
    );
    await expect(rbac.permissions.delete({ id: permission.id }, administrator)).rejects.toMatchObject(
      refused({ roles: 1 }),
    );
    await expect(rbac.roles.delete({ id: role.id, dryRun: false }, administrator)).rejects.toMatchObject(
      refused({ principals: 1 }),
    );
  });

  test('a permission that only the receiving role grants can be deleted again', async () => {
    const { result: feature } = await rbac.features.create(
      { name: 'brief', description: '', isActive: true },
      administrator,
    );
    const request = { featureId: feature.id, action: 'view', description: '' };
    const { result: permission } = await rbac.permissions.create(request, administrator);
    await rbac.permissions.delete({ id: permission.id }, administrator);
    await rbac.features.delete({ id: feature.id }, administrator);
    expect(await codeOf(rbac.features.delete({ id: feature.id }, administrator))).toBe('not_found');
  });

  test('names are taken once, whatever the case, also by callers at the same time', async () => {
    const name = `Night shift ${newId()}`;
    const codes = await Promise.all(
      [name, name.toUpperCase(), name].map((one) => codeOf(rbac.roles.create(newRole(one), administrator))),
    );
    expect(codes.sort()).toEqual(['name_taken', 'name_taken', 'ok']);
    expect(await codeOf(rbac.features.create({ name: 'users', description: '', isActive: true }, administrator))).toBe(
      'name_taken',
    );
  });

  test('an edit of a version that is not the current one changes nothing', async () => {
    const { result: role } = await rbac.roles.create(newRole(), administrator);
    const edit = { id: role.id, name: role.name, description: 'first', isActive: true, version: 1, dryRun: false };
    const { result: edited } = await rbac.roles.update(edit, administrator);
    expect(edited.version).toBe(2);
    expect(await codeOf(rbac.roles.update({ ...edit, description: 'second' }, administrator))).toBe('version_conflict');
    expect(await codeOf(rbac.roles.delete({ id: role.id, version: 1, dryRun: false }, administrator))).toBe(
      'version_conflict',
    );
    expect((await findRole(rbac.database, role.id))?.description).toBe('first');
  });

  test('lists have pages, totals and a literal search', async () => {
    const all = await listPermissions(rbac.database, { limit: 100, offset: 0 });
    const users = await listPermissions(rbac.database, { limit: 2, offset: 1, search: 'USERS:' });
    expect(users.total).toBe(all.data.filter(({ name }) => name.startsWith('users:')).length);
    expect(users.data).toHaveLength(2);
    expect((await listRoles(rbac.database, { limit: 10, offset: 0, search: '%' })).total).toBe(0);
  });

  test('a dry run answers who would gain and lose what, and writes nothing', async () => {
    const principalId = newId();
    const before = { revision: rbac.replica.snapshot.revision, events: (await readEvents(rbac.database)).length };
    const roleIds = [roleId(rbac, 'Viewer')];
    const tried = await rbac.principals.replaceRoles({ principalId, roleIds, dryRun: true }, administrator);
    expect(tried.preview?.gained.map(({ permission }) => permission)).toEqual(
      expect.arrayContaining(['audit:view', 'rbac:view', 'users:view']),
    );
    expect(tried.preview?.lost).toEqual([]);
    expect(tried.effect).toMatchObject({ effective: 'none', revision: before.revision });
    expect((await rbac.replica.fresh()).snapshot.principals.get(principalId)).toBeUndefined();
    expect((await readEvents(rbac.database)).length).toBe(before.events);
  });

  test('a dry run names nobody to an actor who may not look accounts and roles up', async () => {
    const [editor, holder] = [newId(), newId()];
    const { result: role } = await rbac.roles.create(newRole(), administrator);
    const set = (names: string[]) =>
      rbac.roles.replacePermissions(
        { id: role.id, permissionIds: permissionIds(rbac, ...names), dryRun: false },
        administrator,
      );
    await set(['rbac:edit', 'rbac:view']);
    for (const principalId of [editor, holder])
      await rbac.principals.replaceRoles({ principalId, roleIds: [role.id], dryRun: false }, administrator);
    const attempt = () =>
      rbac.roles.update(
        { id: role.id, name: role.name, description: '', isActive: false, dryRun: true },
        actingAs(editor),
      );
    const blind = previewOf((await attempt()).preview).preview;
    expect(blind).toMatchObject({ lost: [], gained: [], lostCount: 4, gainedCount: 0 });
    // The control: with both rights the pairs are there.
    await set(['rbac:edit', 'rbac:view', 'users:view']);
    const seeing = previewOf((await attempt()).preview).preview;
    expect(seeing?.lost).toContainEqual({ principalId: holder, permission: 'rbac:edit' });
    expect(seeing?.lost).toHaveLength(6);
  });
});

describe('the record', () => {
  test('every mutation leaves one event with before and after, one that was refused leaves none', async () => {
    const { result: role } = await rbac.roles.create(newRole(), administrator);
    const start = (await readEvents(rbac.database)).length;
    const principalId = newId();
    const viewer = roleId(rbac, 'Viewer');
    await rbac.roles.replacePermissions(
      { id: role.id, permissionIds: permissionIds(rbac, 'audit:view'), dryRun: false },
      administrator,
    );
    await rbac.principals.replaceRoles({ principalId, roleIds: [viewer], dryRun: false }, administrator);
    await rbac.principals.setActive({ principalId, isActive: false, dryRun: false }, administrator);
    await codeOf(rbac.roles.create(newRole(), actingAs(newId())));
    await codeOf(rbac.principals.replaceRoles({ principalId, roleIds: [newId()], dryRun: false }, administrator));
    const events = (await readEvents(rbac.database)).slice(start);
    expect(events.map(({ type, event }) => [type, event.resource.id, event.change])).toEqual([
      [
        'rbac.role.permissions_replaced.v1',
        role.id,
        { before: { permissions: [] }, after: { permissions: ['audit:view'] } },
      ],
      [
        'rbac.principal.roles_replaced.v1',
        principalId,
        { before: { roles: [] }, after: { roles: [{ id: viewer, name: 'Viewer' }] } },
      ],
      ['rbac.principal.deactivated.v1', principalId, { before: { isActive: true }, after: { isActive: false } }],
    ]);
    expect(events.every(({ event }) => event.actor.id === administratorId)).toBe(true);
  });

  test('who may delete accounts may take every role away and give none', async () => {
    const [clerk, leaver] = [newId(), newId()];
    const viewer = roleId(rbac, 'Viewer');
    const { result: role } = await rbac.roles.create(newRole(), administrator);
    const grants = permissionIds(rbac, 'users:delete', 'users:view', 'rbac:view', 'audit:view');
    await rbac.roles.replacePermissions({ id: role.id, permissionIds: grants, dryRun: false }, administrator);
    await rbac.principals.replaceRoles({ principalId: clerk, roleIds: [role.id], dryRun: false }, administrator);
    await rbac.principals.replaceRoles({ principalId: leaver, roleIds: [viewer], dryRun: false }, administrator);
    const set = (roleIds: string[]) =>
      codeOf(rbac.principals.replaceRoles({ principalId: leaver, roleIds, dryRun: false }, actingAs(clerk)));
    expect(await set([])).toBe('ok');
    expect(await set([viewer])).toBe('forbidden');
  });

  test('a repeated mutation that changes nothing spends no revision and leaves no event', async () => {
    const request = { principalId: newId(), roleIds: [roleId(rbac, 'Viewer')], dryRun: false };
    const first = await rbac.principals.replaceRoles(request, administrator);
    const count = (await readEvents(rbac.database)).length;
    const again = await rbac.principals.replaceRoles(request, administrator);
    expect(again.effect.revision).toBe(first.effect.revision);
    expect((await readEvents(rbac.database)).length).toBe(count);
  });

  test('the service cannot change or remove what the changelog says', async () => {
    for (const statement of [
      `UPDATE rbac_changelog SET op = 'x'`,
      `DELETE FROM rbac_changelog`,
      `TRUNCATE rbac_changelog`,
    ]) {
      await expect(rbac.database.query(statement)).rejects.toThrow('permission denied');
    }
    // The control: it may read it and add to it.
    expect((await rbac.database.query(`SELECT 1 FROM rbac_changelog`)).length).toBe(rbac.replica.snapshot.revision);
  });
});
