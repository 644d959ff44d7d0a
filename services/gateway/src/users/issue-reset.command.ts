import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { RpcResponse } from '@prime-nest/contracts/rpc';
import type { Rpc } from '@prime-nest/contracts/subjects';
import type { Calls } from '../calls.js';

export interface ResetRequest {
  readonly accountId: string;
  readonly callerId: string;
}

/**
 * Makes a reset code for an account, unless the account may come to something that the caller could not give it: with
 * the code the caller could sign in as that user, which would be a way around rbac's own rule against escalation. So it
 * is rbac's rule: what is switched off counts, because it may be switched on, and a right of the caller's that ends does
 * not, because the password would outlive it. Nobody gains anything by a code for himself.
 */
export async function issueReset(
  calls: Calls,
  { accountId, callerId }: ResetRequest,
  context: CallContext,
): Promise<RpcResponse<Rpc, 'identity.password.issue_reset.v1'>> {
  if (accountId !== callerId) {
    const [caller, target] = await Promise.all([
      calls.call('rbac.principal.get.v1', { principalId: callerId, withReach: true }, context),
      calls.call('rbac.principal.get.v1', { principalId: accountId, withReach: true }, context),
    ]);
    // One that does not say is not known, and may be anything.
    if (caller.reach === undefined || target.reach === undefined) throw new AppError('unavailable');
    const given = new Set(caller.reach.grantable);
    if (!target.reach.attainable.every((permission) => given.has(permission))) throw new AppError('escalation_refused');
  }
  return calls.call('identity.password.issue_reset.v1', { accountId }, context);
}
