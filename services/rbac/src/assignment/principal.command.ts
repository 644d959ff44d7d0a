import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { PermissionName, rbacRpc } from '@prime-nest/contracts/rbac';
import type { RpcParsed } from '@prime-nest/contracts/rpc';
import type { DeltaStep } from '../policy/delta.js';
import type { Mutated, Mutation, Mutator } from '../policy/mutate.command.js';
import { assignmentsOf } from '../policy/snapshot.js';
import { putPrincipal, replaceAssignments } from './assignment.store.js';
import {
  type AssignedRole,
  type Assignment,
  type Wish,
  assignedRoles,
  isSameAssignment,
  wantedAssignments,
} from './assignment.js';

type Request<V extends 'replace_roles' | 'set_active'> = RpcParsed<typeof rbacRpc, `rbac.principal.${V}.v1`>;

/** Who holds which roles, and who may act at all. */
export class PrincipalCommands {
  readonly #mutator: Mutator;

  constructor({ mutator }: { mutator: Mutator }) {
    this.#mutator = mutator;
  }

  /**
   * Throws `reference_missing` for an unknown role, with nothing changed. Who may delete accounts may also take every
   * role away: that is how an account leaves the policy, for good if it says so.
   */
  async replaceRoles(
    { dryRun, ...wish }: Request<'replace_roles'>,
    context: CallContext,
  ): Promise<Mutated<AssignedRole[]>> {
    if (wish.isLeaving === true && wish.roleIds.length > 0) {
      const violations = [{ pointer: '/roleIds', message: 'must be empty for a principal that is leaving' }];
      throw new AppError('validation_failed', { details: { violations } });
    }
    return this.#mutator.run({
      op: 'principal.replace_roles',
      needs: neededFor(wish),
      context,
      isDryRun: dryRun,
      write: writeRoles(wish),
    });
  }

  /** Changes nothing for a principal that is in this state already. */
  setActive(
    { principalId, isActive, dryRun }: Request<'set_active'>,
    context: CallContext,
  ): Promise<Mutated<undefined>> {
    return this.#mutator.run({
      op: isActive ? 'principal.activate' : 'principal.deactivate',
      needs: isActive ? ['users:edit', 'users:create'] : ['users:edit', 'users:delete'],
      context,
      isDryRun: dryRun,
      write: async ({ tx, policy }) => {
        const before = policy.principals.get(principalId);
        if (before?.isActive === isActive) return { result: undefined, delta: [] };
        await putPrincipal(tx, principalId, isActive);
        return {
          result: undefined,
          delta: [putStep({ principalId, isActive, assignments: assignmentsOf(policy, principalId) })],
          event: {
            type: isActive ? 'rbac.principal.activated.v1' : 'rbac.principal.deactivated.v1',
            resourceId: principalId,
            change: { before: { isActive: before?.isActive ?? null }, after: { isActive } },
          },
        };
      },
    });
  }
}

/** Writes the roles of a principal, which is active when it is new: for the command and for the seed. */
export function writeRoles({
  principalId,
  isLeaving = false,
  ...wish
}: Wish & { principalId: string; isLeaving?: boolean | undefined }): Mutation<AssignedRole[]>['write'] {
  return async ({ tx, policy, nowMs }) => {
    const before = assignmentsOf(policy, principalId);
    const wanted = wantedAssignments(policy, wish, nowMs);
    const result = assignedRoles(policy, wanted);
    const known = policy.principals.get(principalId);
    const isActive = !isLeaving && (known?.isActive ?? true);
    const isKnown = known?.isActive === isActive && isSameAssignment(before, wanted);
    if (isKnown) return { result, delta: [] };
    await putPrincipal(tx, principalId, isActive);
    const stored = wanted.map(({ roleId, expiresAtMs }) => ({
      roleId,
      expiresAt: expiresAtMs === null ? null : new Date(expiresAtMs).toISOString(),
    }));
    await replaceAssignments(tx, principalId, stored);
    const shown = (roles: readonly AssignedRole[], wasActive = true) => ({
      roles: roles.map(withoutState),
      ...(isLeaving ? { isActive: wasActive } : {}),
    });
    return {
      result,
      delta: [putStep({ principalId, isActive, assignments: wanted })],
      event: {
        type: 'rbac.principal.roles_replaced.v1',
        resourceId: principalId,
        change: { before: shown(assignedRoles(policy, before), known?.isActive), after: shown(result, isActive) },
      },
    };
  };
}

function neededFor({ roleIds, isLeaving }: Omit<Request<'replace_roles'>, 'dryRun'>): PermissionName[] {
  if (isLeaving === true) return ['users:delete'];
  return roleIds.length === 0 ? ['users:assign_roles', 'users:delete'] : ['users:assign_roles'];
}

function putStep(to: { principalId: string; isActive: boolean; assignments: readonly Assignment[] }): DeltaStep {
  const roles = to.assignments.map((one) => ({ id: one.roleId, expiresAtMs: one.expiresAtMs }));
  return { op: 'principal.put', id: to.principalId, isActive: to.isActive, roles };
}

function withoutState({ id, name, expiresAt }: AssignedRole): object {
  return { id, name, ...(expiresAt === undefined ? {} : { expiresAt }) };
}
