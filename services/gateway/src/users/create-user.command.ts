import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { Account } from '@prime-nest/contracts/identity';
import type { Effect } from '@prime-nest/contracts/rbac';
import type { Calls } from '../calls.js';

export interface NewUser {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly password: string;
  readonly roleIds: readonly string[];
}

export interface CreatedUser {
  readonly account: Account;
  readonly roles: readonly { readonly id: string; readonly name: string }[];
  readonly effect?: Effect;
}

/**
 * Creates an account that has its roles from its first moment, over two services and without a shared transaction:
 * roles are assigned to the new id first, where rbac checks that the caller may give them, then the account is made.
 * A crash between the two leaves roles for an id that nobody can ever sign in as. A creation that is refused takes
 * them away again; one whose answer was lost is looked up before anything is undone.
 */
export async function createUser(calls: Calls, user: NewUser, context: CallContext): Promise<CreatedUser> {
  const { id, email, name, password, roleIds } = user;
  const assigned =
    roleIds.length === 0
      ? undefined
      : await calls.call('rbac.principal.replace_roles.v1', { principalId: id, roleIds: [...roleIds] }, context);
  const account = await create(calls, { id, email, name, password }, context).catch(async (error: unknown) => {
    if (assigned !== undefined) await takeRolesAway(calls, id, context);
    throw error;
  });
  return {
    account,
    roles: assigned?.roles ?? [],
    ...(assigned === undefined ? {} : { effect: assigned.effect }),
  };
}

async function create(
  calls: Calls,
  account: { id: string; email: string; name: string; password: string },
  context: CallContext,
): Promise<Account> {
  try {
    return await calls.call('identity.account.create.v1', account, context);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'unavailable') throw error;
    // Nobody else can have made this id: if it is there, it was us, and only the answer was lost.
    return calls.call('identity.account.get.v1', { id: account.id }, context).catch(() => {
      throw error;
    });
  }
}

/** Best effort: what stays behind when this fails too is what a crash leaves, and it opens nothing. */
async function takeRolesAway(calls: Calls, principalId: string, context: CallContext): Promise<void> {
  await calls.call('rbac.principal.replace_roles.v1', { principalId, roleIds: [] }, context).catch(() => undefined);
}
