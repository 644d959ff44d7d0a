import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { Role, RoleWithPermissions, rbacRpc } from '@prime-nest/contracts/rbac';
import type { RpcParsed } from '@prime-nest/contracts/rpc';
import { isUniqueViolation } from '@prime-nest/kit/database';
import type { DeltaStep } from '../policy/delta.js';
import type { Mutated, Mutation, Mutator, Scope } from '../policy/mutate.command.js';
import { assignmentsOf } from '../policy/snapshot.js';
import { changedFields, current, written } from './change.js';
import {
  changeGrants,
  countHolders,
  deleteRole,
  findRole,
  insertRole,
  removeEndedAssignments,
  updateRole,
} from './role.store.js';

type Verb = 'create' | 'update' | 'delete' | 'replace_permissions';
type Request<V extends Verb> = RpcParsed<typeof rbacRpc, `rbac.role.${V}.v1`>;

/** Changes of the roles and of what they grant. */
export class RoleCommands {
  readonly #mutator: Mutator;
  readonly #newId: () => string;

  constructor({ mutator, newId }: { mutator: Mutator; newId: () => string }) {
    this.#mutator = mutator;
    this.#newId = newId;
  }

  /** A new role grants nothing. Throws `name_taken`; names differ by more than case. */
  create(request: Request<'create'>, context: CallContext): Promise<Mutated<Role>> {
    const write = writeRole({ id: this.#newId(), receivesNewPermissions: false, ...request });
    return this.#mutator.run({ op: 'role.create', needs: ['rbac:create'], context, write });
  }

  /** Throws `not_found`, `version_conflict`, `name_taken`. */
  update({ id, version, dryRun, ...fields }: Request<'update'>, context: CallContext): Promise<Mutated<Role>> {
    return this.#mutator.run({
      op: 'role.update',
      needs: ['rbac:edit'],
      context,
      isDryRun: dryRun,
      write: async ({ tx }) => {
        const before = current(await findRole(tx, id), version);
        const change = changedFields(before, { ...before, ...fields }, ['name', 'description', 'isActive']);
        if (change === undefined) return { result: before, delta: [] };
        const result = written(await updateRole(tx, { id, ...fields }).catch(asNameTaken));
        const delta: DeltaStep[] =
          before.isActive === result.isActive && before.name === result.name ? [] : [putRole(result)];
        return { result, delta, event: { type: 'rbac.role.updated.v1', resourceId: id, change } };
      },
    });
  }

  /** Throws `not_found`, `version_conflict`, and `in_use` while a principal holds it or it receives new permissions. */
  delete({ id, version, dryRun }: Request<'delete'>, context: CallContext): Promise<Mutated<undefined>> {
    return this.#mutator.run({
      op: 'role.delete',
      needs: ['rbac:delete'],
      context,
      isDryRun: dryRun,
      write: async (scope) => {
        const before = current(await findRole(scope.tx, id), version);
        if (before.receivesNewPermissions) {
          throw new AppError('in_use', { details: { detail: 'New permissions are granted to this role.' } });
        }
        const principals = await countHolders(scope.tx, id);
        if (principals > 0) throw new AppError('in_use', { details: { heldBy: { principals } } });
        const ended = await removeEndedAssignments(scope.tx, id);
        await deleteRole(scope.tx, id);
        const { name, description, isActive } = before;
        const permissions = before.permissions.map((permission) => permission.name);
        return {
          result: undefined,
          delta: [...ended.map((principalId) => withoutRole(scope, principalId, id)), { op: 'role.delete', id }],
          event: {
            type: 'rbac.role.deleted.v1',
            resourceId: id,
            change: { before: { name, description, isActive, permissions } },
          },
        };
      },
    });
  }

  /** Throws `not_found`, `version_conflict`, and `reference_missing` for an unknown permission, with nothing changed. */
  replacePermissions(
    { id, version, permissionIds, dryRun }: Request<'replace_permissions'>,
    context: CallContext,
  ): Promise<Mutated<RoleWithPermissions>> {
    return this.#mutator.run({
      op: 'role.replace_permissions',
      needs: ['rbac:assign_permissions'],
      context,
      isDryRun: dryRun,
      write: async ({ tx, policy }) => {
        const before = current(await findRole(tx, id), version);
        const wanted = new Set(permissionIds);
        const held = new Set(before.permissions.map((permission) => permission.id));
        if ([...wanted].some((one) => !policy.permissions.has(one))) throw new AppError('reference_missing');
        const granted = [...wanted].filter((one) => !held.has(one));
        const revoked = [...held].filter((one) => !wanted.has(one));
        if (granted.length === 0 && revoked.length === 0) return { result: before, delta: [] };
        await changeGrants(tx, { roleId: id, granted, revoked });
        const result = written(await findRole(tx, id));
        const names = (role: RoleWithPermissions) => role.permissions.map((permission) => permission.name);
        const change = { before: { permissions: names(before) }, after: { permissions: names(result) } };
        return {
          result,
          delta: [
            { op: 'role.revoke', id, permissionIds: revoked },
            { op: 'role.grant', id, permissionIds: granted },
          ],
          event: { type: 'rbac.role.permissions_replaced.v1', resourceId: id, change },
        };
      },
    });
  }
}

export type NewRole = Pick<Role, 'id' | 'name' | 'description' | 'isActive' | 'receivesNewPermissions'>;

/** Writes a new role that grants nothing yet: for the command and for the seed. */
export function writeRole(role: NewRole): Mutation<Role>['write'] {
  return async ({ tx }) => {
    const result = written(await insertRole(tx, role).catch(asNameTaken));
    const { id, ...after } = role;
    return {
      result,
      delta: [putRole(role)],
      event: { type: 'rbac.role.created.v1', resourceId: id, change: { after } },
    };
  };
}

function asNameTaken(error: unknown): never {
  throw isUniqueViolation(error, 'role_name_key') ? new AppError('name_taken', { cause: error }) : error;
}

function putRole({ id, name, isActive, receivesNewPermissions }: Omit<NewRole, 'description'>): DeltaStep {
  return { op: 'role.put', id, name, isActive, receivesNew: receivesNewPermissions };
}

function withoutRole({ policy }: Scope, principalId: string, roleId: string): DeltaStep {
  const roles = assignmentsOf(policy, principalId).filter((one) => one.roleId !== roleId);
  return {
    op: 'principal.put',
    id: principalId,
    isActive: policy.principals.get(principalId)?.isActive ?? true,
    roles: roles.map((one) => ({ id: one.roleId, expiresAtMs: one.expiresAtMs })),
  };
}
