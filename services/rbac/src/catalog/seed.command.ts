import type { CallContext } from '@prime-nest/contracts/context';
import type { Database } from '@prime-nest/kit/database';
import { writeRoles } from '../assignment/principal.command.js';
import { type Change, type Mutator, type Scope, seedAuthority } from '../policy/mutate.command.js';
import { hasBit } from '../policy/bitset.js';
import { type PolicySnapshot, type RoleEntry, assignmentsOf } from '../policy/snapshot.js';
import { administratorRole } from './default-policy.js';
import { writeFeature } from './feature.command.js';
import { writePermission } from './permission.command.js';
import type { SeedPolicy, SeedRole } from './policy-file.js';
import { writeRole } from './role.command.js';
import { changeGrants } from './role.store.js';
import { markApplied, readAppliedItems } from './seed.store.js';

export interface SeedOptions {
  readonly database: Database;
  readonly mutator: Mutator;
  readonly newId: () => string;
  readonly context: CallContext;
  /** Who becomes the first administrator. */
  readonly administratorId: string;
}

interface Item {
  readonly name: string;
  /** Undefined: there is nothing to do, because somebody was faster or has removed what it builds on. */
  readonly write: (scope: Scope) => Promise<Change<unknown> | undefined>;
}

/**
 * Applies each item of the policy that was never applied here, once for ever: what an administrator changed or
 * deleted afterwards stays changed or deleted. Each item is one mutation with one event; a crash between two is
 * continued by the next run. Answers the names of the items that this run applied.
 */
export async function seed(policy: SeedPolicy, options: SeedOptions): Promise<string[]> {
  const { database, mutator, context } = options;
  const applied = await readAppliedItems(database);
  const now: string[] = [];
  for (const item of itemsOf(policy, options)) {
    if (applied.has(item.name)) continue;
    const { result } = await mutator.run<boolean>({
      op: 'seed.apply',
      needs: seedAuthority,
      context,
      write: async (scope) => {
        if (!(await markApplied(scope.tx, item.name))) return { result: false, delta: [] };
        const change = await item.write(scope);
        const after = { item: item.name, isSkipped: change?.event === undefined, ...fieldsOf(change) };
        const event = { type: 'rbac.seed.applied.v1' as const, resourceId: item.name, change: { after } };
        return { result: true, delta: change?.delta ?? [], event };
      },
    });
    if (result) now.push(item.name);
  }
  return now;
}

function fieldsOf(change: Change<unknown> | undefined): object {
  const after = change?.event?.change?.after;
  return typeof after === 'object' && after !== null ? after : {};
}

function itemsOf(policy: SeedPolicy, { newId, administratorId }: SeedOptions): Item[] {
  const features = policy.features.map((feature) => ({
    name: `feature:${feature.name}`,
    write: (scope: Scope) =>
      idOf(scope.policy.features, feature.name) === undefined
        ? writeFeature({ id: newId(), name: feature.name, description: feature.description, isActive: true })(scope)
        : nothing(),
  }));
  const permissions = policy.features.flatMap((feature) =>
    Object.entries(feature.actions).map(([action, description]) => ({
      name: `permission:${feature.name}:${action}`,
      write: (scope: Scope) => {
        const featureId = idOf(scope.policy.features, feature.name);
        const isThere = scope.policy.permissionsByName.has(`${feature.name}:${action}`);
        if (featureId === undefined || isThere) return nothing();
        return writePermission({ id: newId(), featureId, action, description })(scope);
      },
    })),
  );
  const roles = policy.roles.map((role) => ({
    name: `role:${role.name}`,
    write: (scope: Scope) =>
      roleNamed(scope.policy, role.name) === undefined ? writeSeedRole(role, newId())(scope) : nothing(),
  }));
  const administrator = { name: 'administrator', write: (scope: Scope) => appoint(administratorId)(scope) };
  const grants = Object.entries(policy.grants).flatMap(([role, names]) =>
    names.map((permission) => ({ name: `grant:${role}:${permission}`, write: grant(role, permission) })),
  );
  return [...features, ...permissions, ...roles, ...grants, administrator];
}

function writeSeedRole(role: SeedRole, id: string): (scope: Scope) => Promise<Change<unknown>> {
  return async (scope) => {
    const { name, description, grants } = role;
    const receivesNewPermissions = grants === 'all';
    const change = await writeRole({ id, name, description, isActive: true, receivesNewPermissions })(scope);
    const known = [...scope.policy.permissions.values()].filter((one) => grants === 'all' || grants.includes(one.name));
    const permissionIds = known.map((permission) => permission.id);
    await changeGrants(scope.tx, { roleId: id, granted: permissionIds, revoked: [] });
    const after = {
      name,
      description,
      receivesNewPermissions,
      permissions: known.map((permission) => permission.name).sort(),
    };
    return {
      result: undefined,
      delta: [...change.delta, { op: 'role.grant', id, permissionIds }],
      event: { type: 'rbac.role.created.v1', resourceId: id, change: { after } },
    };
  };
}

function grant(role: string, permission: string): Item['write'] {
  return async ({ tx, policy }) => {
    const target = roleNamed(policy, role);
    const entry = policy.permissionsByName.get(permission);
    if (target === undefined || entry === undefined || hasBit(target.grants, entry.index)) return undefined;
    await changeGrants(tx, { roleId: target.id, granted: [entry.id], revoked: [] });
    return {
      result: undefined,
      delta: [{ op: 'role.grant', id: target.id, permissionIds: [entry.id] }],
      event: { type: 'rbac.role.permissions_replaced.v1', change: { after: { role: target.name, permission } } },
    };
  };
}

function appoint(principalId: string): (scope: Scope) => Promise<Change<unknown> | undefined> {
  return async (scope) => {
    const role = roleNamed(scope.policy, administratorRole);
    if (role === undefined) return undefined;
    const held = assignmentsOf(scope.policy, principalId).map((one) => one.roleId);
    return writeRoles({ principalId, roleIds: [...held, role.id] })(scope);
  };
}

function idOf(
  entries: ReadonlyMap<string, { readonly id: string; readonly name: string }>,
  name: string,
): string | undefined {
  return [...entries.values()].find((entry) => entry.name === name)?.id;
}

function roleNamed(policy: PolicySnapshot, name: string): RoleEntry | undefined {
  return [...policy.roles.values()].find((role) => role.name.toLowerCase() === name.toLowerCase());
}

function nothing(): Promise<undefined> {
  return Promise.resolve(undefined);
}
