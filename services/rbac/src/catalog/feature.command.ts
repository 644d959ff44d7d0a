import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { Feature, rbacRpc } from '@prime-nest/contracts/rbac';
import type { RpcParsed } from '@prime-nest/contracts/rpc';
import { isUniqueViolation } from '@prime-nest/kit/database';
import type { Mutated, Mutation, Mutator } from '../policy/mutate.command.js';
import { changedFields, current, written } from './change.js';
import { countPermissionsOf, deleteFeature, findFeature, insertFeature, updateFeature } from './feature.store.js';

type Request<V extends 'create' | 'update' | 'delete'> = RpcParsed<typeof rbacRpc, `rbac.feature.${V}.v1`>;

/** Changes of the features. Switching one off denies all of its permissions to everybody, whatever roles grant. */
export class FeatureCommands {
  readonly #mutator: Mutator;
  readonly #newId: () => string;

  constructor({ mutator, newId }: { mutator: Mutator; newId: () => string }) {
    this.#mutator = mutator;
    this.#newId = newId;
  }

  /** Throws `name_taken`. */
  create(request: Request<'create'>, context: CallContext): Promise<Mutated<Feature>> {
    const id = this.#newId();
    return this.#mutator.run({
      op: 'feature.create',
      needs: ['rbac:create'],
      context,
      write: writeFeature({ id, ...request }),
    });
  }

  /** Throws `not_found`, `version_conflict`. */
  update({ id, version, ...fields }: Request<'update'>, context: CallContext): Promise<Mutated<Feature>> {
    return this.#mutator.run({
      op: 'feature.update',
      needs: ['rbac:edit'],
      context,
      write: async ({ tx }) => {
        const before = current(await findFeature(tx, id), version);
        const change = changedFields(before, { ...before, ...fields }, ['description', 'isActive']);
        if (change === undefined) return { result: before, delta: [] };
        const result = written(await updateFeature(tx, { id, ...fields }));
        const delta =
          before.isActive === result.isActive
            ? []
            : [{ op: 'feature.put' as const, id, name: result.name, isActive: result.isActive }];
        return { result, delta, event: { type: 'rbac.feature.updated.v1', resourceId: id, change } };
      },
    });
  }

  /** Throws `not_found`, `version_conflict`, and `in_use` while the feature has permissions. */
  delete({ id, version }: Request<'delete'>, context: CallContext): Promise<Mutated<undefined>> {
    return this.#mutator.run({
      op: 'feature.delete',
      needs: ['rbac:delete'],
      context,
      write: async ({ tx }) => {
        const { name, description, isActive } = current(await findFeature(tx, id), version);
        const permissions = await countPermissionsOf(tx, id);
        if (permissions > 0) throw new AppError('in_use', { details: { heldBy: { permissions } } });
        await deleteFeature(tx, id);
        const change = { before: { name, description, isActive } };
        return {
          result: undefined,
          delta: [{ op: 'feature.delete', id }],
          event: { type: 'rbac.feature.deleted.v1', resourceId: id, change },
        };
      },
    });
  }
}

/** Writes a new feature: for the command and for the seed. */
export function writeFeature(feature: Request<'create'> & { readonly id: string }): Mutation<Feature>['write'] {
  return async ({ tx }) => {
    const { id, name, description, isActive } = feature;
    const result = written(
      await insertFeature(tx, feature).catch((error: unknown) => {
        throw isUniqueViolation(error, 'feature_name_key') ? new AppError('name_taken', { cause: error }) : error;
      }),
    );
    return {
      result,
      delta: [{ op: 'feature.put', id, name, isActive }],
      event: { type: 'rbac.feature.created.v1', resourceId: id, change: { after: { name, description, isActive } } },
    };
  };
}
