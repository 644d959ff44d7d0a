import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { Permission, rbacRpc } from '@prime-nest/contracts/rbac';
import type { RpcParsed } from '@prime-nest/contracts/rpc';
import { isUniqueViolation } from '@prime-nest/kit/database';
import type { Mutated, Mutation, Mutator } from '../policy/mutate.command.js';
import { changedFields, current, written } from './change.js';
import { deletePermission, findPermission, insertPermission, updatePermission } from './permission.store.js';
import { changeGrants, findGranting } from './role.store.js';

type Request<V extends 'create' | 'update' | 'delete'> = RpcParsed<typeof rbacRpc, `rbac.permission.${V}.v1`>;

/** Changes of the permissions. A permission is born into the roles that receive every new one, and leaves with them. */
export class PermissionCommands {
  readonly #mutator: Mutator;
  readonly #newId: () => string;

  constructor({ mutator, newId }: { mutator: Mutator; newId: () => string }) {
    this.#mutator = mutator;
    this.#newId = newId;
  }

  /** Throws `reference_missing` for an unknown feature, `name_taken` for an action that it has. */
  create(request: Request<'create'>, context: CallContext): Promise<Mutated<Permission>> {
    const write = writePermission({ id: this.#newId(), ...request });
    return this.#mutator.run({ op: 'permission.create', needs: ['rbac:create'], context, write });
  }

  /** Throws `not_found`, `version_conflict`. */
  update({ id, version, description }: Request<'update'>, context: CallContext): Promise<Mutated<Permission>> {
    return this.#mutator.run({
      op: 'permission.update',
      needs: ['rbac:edit'],
      context,
      write: async ({ tx }) => {
        const before = current(await findPermission(tx, id), version);
        const change = changedFields(before, { ...before, description }, ['description']);
        if (change === undefined) return { result: before, delta: [] };
        const result = written(await updatePermission(tx, { id, description }));
        return { result, delta: [], event: { type: 'rbac.permission.updated.v1', resourceId: id, change } };
      },
    });
  }

  /** Throws `not_found`, `version_conflict`, and `in_use` while a role grants it that somebody gave it to. */
  delete({ id, version }: Request<'delete'>, context: CallContext): Promise<Mutated<undefined>> {
    return this.#mutator.run({
      op: 'permission.delete',
      needs: ['rbac:delete'],
      context,
      write: async ({ tx }) => {
        const { name, description } = current(await findPermission(tx, id), version);
        const granting = await findGranting(tx, id);
        const roles = granting.filter(({ receivesNew }) => !receivesNew).length;
        if (roles > 0) throw new AppError('in_use', { details: { heldBy: { roles } } });
        for (const { id: roleId } of granting) await changeGrants(tx, { roleId, granted: [], revoked: [id] });
        await deletePermission(tx, id);
        const grantedBy = granting.map((role) => role.id);
        return {
          result: undefined,
          delta: [
            ...grantedBy.map((roleId) => ({ op: 'role.revoke' as const, id: roleId, permissionIds: [id] })),
            { op: 'permission.delete', id },
          ],
          event: {
            type: 'rbac.permission.deleted.v1',
            resourceId: id,
            change: { before: { name, description, grantedBy } },
          },
        };
      },
    });
  }
}

/** Writes a new permission and its grants to the roles that receive every new one: for the command and for the seed. */
export function writePermission(
  permission: Request<'create'> & { readonly id: string },
): Mutation<Permission>['write'] {
  return async ({ tx, policy }) => {
    const { id, featureId, action } = permission;
    if (!policy.features.has(featureId)) throw new AppError('reference_missing', { internal: { featureId } });
    const result = written(
      await insertPermission(tx, permission).catch((error: unknown) => {
        throw isUniqueViolation(error, 'permission_name_key') ? new AppError('name_taken', { cause: error }) : error;
      }),
    );
    const receivers = [...policy.roles.values()].filter((role) => role.receivesNew).map((role) => role.id);
    for (const roleId of receivers) await changeGrants(tx, { roleId, granted: [id], revoked: [] });
    const { name, description } = result;
    return {
      result,
      delta: [
        { op: 'permission.put', id, featureId, action },
        ...receivers.map((roleId) => ({ op: 'role.grant' as const, id: roleId, permissionIds: [id] })),
      ],
      event: {
        type: 'rbac.permission.created.v1',
        resourceId: id,
        change: { after: { name, description, grantedBy: receivers } },
      },
    };
  };
}
