import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { Account } from '@prime-nest/contracts/identity';
import type { Effect } from '@prime-nest/contracts/rbac';
import type { Calls } from '../calls.js';

export interface UserChange {
  readonly id: string;
  readonly name?: string | undefined;
  readonly isActive?: boolean | undefined;
}

export interface ChangedUser {
  readonly account: Account;
  readonly effect?: Effect;
}

/**
 * Changes name or activity. Activity lives in two services: rbac goes first, because it refuses to lose the last
 * administrator. A crash between the two leaves a user who is denied everything and can still sign in, or who is
 * allowed again and cannot yet; the same request sent again completes either. Of two that are under way at once,
 * rbac must not count as an administrator whom identity does not let in: it is looked at again at the end.
 */
export async function updateUser(calls: Calls, change: UserChange, context: CallContext): Promise<ChangedUser> {
  const { id, name, isActive } = change;
  // A user that does not exist must not leave a principal behind.
  await calls.call('identity.account.get.v1', { id }, context);
  const effect =
    isActive === undefined
      ? undefined
      : (await calls.call('rbac.principal.set_active.v1', { principalId: id, isActive }, context)).effect;
  const account = await calls
    .call(
      'identity.account.update.v1',
      { id, ...(name === undefined ? {} : { name }), ...(isActive === undefined ? {} : { isActive }) },
      context,
    )
    .catch(async (error: unknown) => {
      // Deleted meanwhile: what was switched on is nobody's.
      if (isActive === true && isNotFound(error)) await calls.call(...switchingOff(id), context).catch(() => undefined);
      throw error;
    });
  if (isActive === false && (await isActiveInPolicy(calls, id, context))) {
    return { account, effect: (await calls.call(...switchingOff(id), context)).effect };
  }
  return { account, ...(effect === undefined ? {} : { effect }) };
}

/**
 * Deletes a user: first it leaves the policy, where rbac refuses to lose the last administrator, then the account goes
 * with its sessions. From the first step on its principal is inactive, so nobody who gives it a role or its activity back
 * meanwhile makes it an administrator again. A crash between the two leaves a user who is denied everything; the same
 * request sent again completes it.
 */
export async function deleteUser(calls: Calls, id: string, context: CallContext): Promise<Effect> {
  await calls.call('identity.account.get.v1', { id }, context);
  const leaving = { principalId: id, roleIds: [], isLeaving: true };
  const { effect } = await calls.call('rbac.principal.replace_roles.v1', leaving, context);
  await calls.call('identity.account.delete.v1', { id }, context);
  return effect;
}

function switchingOff(principalId: string) {
  return ['rbac.principal.set_active.v1', { principalId, isActive: false }] as const;
}

async function isActiveInPolicy(calls: Calls, principalId: string, context: CallContext): Promise<boolean> {
  return (await calls.call('rbac.principal.get.v1', { principalId }, context)).isActive;
}

function isNotFound(error: unknown): boolean {
  return error instanceof AppError && error.code === 'not_found';
}
