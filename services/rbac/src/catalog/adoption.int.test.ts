import { readFileSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { AppError } from '@prime-nest/contracts/errors';
import { newId } from '@prime-nest/kit/ids';
import type { TestDatabase } from '@prime-nest/testkit/postgres';
import { runFolder } from '@prime-nest/testkit/test-run';
import {
  type TestReplica,
  administrator,
  administratorId,
  createRbacDatabase,
  permissionIds,
  readEvents,
  roleId,
  seedDatabase,
  startReplica,
} from '../../test/harness.js';
import { buildRbac, startProcess } from '../../test/processes.js';
import { decide } from '../policy/decide.js';
import { parsePolicyFile } from './policy-file.js';
import { findRole } from './role.store.js';

/** The worked example of services/rbac/README.md: what an adopter does to protect a service of his own. */
const example = readFileSync(new URL('../../examples/invoices.policy.json', import.meta.url), 'utf8');
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

async function allows(principalId: string, permission: string): Promise<boolean> {
  const { snapshot, nowMs } = await rbac.replica.fresh();
  return decide(snapshot, { principalId, permission }, nowMs).effect === 'allow';
}

test('a running installation takes a new service on: its permissions exist, its roles work, nobody else gains', async () => {
  const applied = await seedDatabase(server, parsePolicyFile(example));
  expect(applied).toEqual([
    'feature:invoices',
    'permission:invoices:view',
    'permission:invoices:create',
    'permission:invoices:approve',
    'role:Accountant',
    'grant:Manager:invoices:view',
    'grant:Manager:invoices:approve',
  ]);
  await rbac.replica.advanceTo((await readEvents(rbac.database)).length);
  const [accountant, manager, viewer] = [newId(), newId(), newId()];
  const assign = (principalId: string, role: string) =>
    rbac.principals.replaceRoles({ principalId, roleIds: [roleId(rbac, role)], dryRun: false }, administrator);
  await assign(accountant, 'Accountant');
  await assign(manager, 'Manager');
  await assign(viewer, 'Viewer');
  const matrix = async (permission: string) =>
    Promise.all([accountant, manager, viewer, administratorId].map((principalId) => allows(principalId, permission)));
  expect(await matrix('invoices:create')).toEqual([true, false, false, true]);
  expect(await matrix('invoices:approve')).toEqual([false, true, false, true]);
});

test('what an administrator took away afterwards stays away when the file is applied again', async () => {
  const manager = roleId(rbac, 'Manager');
  await rbac.roles.replacePermissions(
    { id: manager, permissionIds: permissionIds(rbac, 'users:view'), dryRun: false },
    administrator,
  );
  expect(await seedDatabase(server, parsePolicyFile(example))).toEqual([]);
  expect((await findRole(rbac.database, manager))?.permissions.map(({ name }) => name)).toEqual(['users:view']);
});

test('a directory with one file per service is taken on by the command that deployments run, whatever was there', async () => {
  await buildRbac();
  const place = fileURLToPath(new URL('../../examples', import.meta.url));
  const run = async () => {
    const step = startProcess('seed', { server }, { RBAC_POLICY_FILE: place });
    return { code: await step.stop(), output: step.output() };
  };
  const first = await run();
  expect(first).toMatchObject({ code: 0 });
  await rbac.replica.fresh((await readEvents(rbac.database)).length);
  // Of the file that was there before nothing comes again; the new one grants a role what the other file declares.
  expect(first.output).toContain('permission:shipping:send');
  expect(first.output).not.toContain('invoices');
  const [packer, accountant] = [newId(), newId()];
  for (const [principalId, role] of [
    [packer, 'Warehouse'],
    [accountant, 'Accountant'],
  ] as const)
    await rbac.principals.replaceRoles({ principalId, roleIds: [roleId(rbac, role)], dryRun: false }, administrator);
  expect(await allows(packer, 'shipping:send')).toBe(true);
  expect(await allows(packer, 'invoices:view')).toBe(true);
  expect(await allows(accountant, 'shipping:view')).toBe(true);
  expect(await allows(accountant, 'shipping:send')).toBe(false);
  const count = (await readEvents(rbac.database)).length;
  expect(await run()).toMatchObject({ code: 0 });
  expect((await readEvents(rbac.database)).length).toBe(count);
});

test('two files that declare the same role or feature are refused, and nothing of either is applied', async () => {
  const place = await mkdtemp(path.join(await runFolder('policies'), 'p-'));
  const role = { name: 'Twice', grants: [] };
  await writeFile(path.join(place, 'a.json'), JSON.stringify({ roles: [role] }));
  await writeFile(path.join(place, 'b.json'), JSON.stringify({ roles: [{ ...role, name: 'TWICE' }] }));
  const step = startProcess('seed', { server }, { RBAC_POLICY_FILE: place });
  const before = (await readEvents(rbac.database)).length;
  expect(await step.stop()).not.toBe(0);
  expect((await readEvents(rbac.database)).length).toBe(before);
});

test('a file with mistakes is refused as a whole, with every mistake named', () => {
  const read = (text: string) => {
    try {
      return parsePolicyFile(text);
    } catch (error) {
      return (error as AppError).details.violations?.map(({ pointer }) => pointer) ?? (error as AppError).code;
    }
  };
  expect(read('{')).toBe('malformed_json');
  expect(read(JSON.stringify({ features: [{ name: 'Big', actions: {} }], grants: { Manager: ['no colon'] } }))).toEqual(
    ['/features/0/name', '/grants/Manager/0'],
  );
});
