import type { CallContext } from '@prime-nest/contracts/context';
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
 * allowed again and cannot yet; the same request sent again completes either.
 */
export async function updateUser(calls: Calls, change: UserChange, context: CallContext): Promise<ChangedUser> {
  const { id, name, isActive } = change;
  // A user that does not exist must not leave a principal behind.
  await calls.call('identity.account.get.v1', { id }, context);
  const effect =
    isActive === undefined
      ? undefined
      : (await calls.call('rbac.principal.set_active.v1', { principalId: id, isActive }, context)).effect;
  const account = await calls.call(
    'identity.account.update.v1',
    { id, ...(name === undefined ? {} : { name }), ...(isActive === undefined ? {} : { isActive }) },
    context,
  );
  return { account, ...(effect === undefined ? {} : { effect }) };
}

/**
 * Deletes a user: first the roles, where rbac refuses to lose the last administrator, then the account with its
 * sessions. A crash between the two leaves a user without any permission; the same request sent again completes it.
 */
export async function deleteUser(calls: Calls, id: string, context: CallContext): Promise<Effect> {
  await calls.call('identity.account.get.v1', { id }, context);
  const { effect } = await calls.call('rbac.principal.replace_roles.v1', { principalId: id, roleIds: [] }, context);
  await calls.call('identity.account.delete.v1', { id }, context);
  return effect;
}
