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
 * Makes a reset code for an account, unless the account may do something that the caller may not: with the code the
 * caller could sign in as that user, which would be a way around rbac's own rule against escalation.
 */
export async function issueReset(
  calls: Calls,
  { accountId, callerId }: ResetRequest,
  context: CallContext,
): Promise<RpcResponse<Rpc, 'identity.password.issue_reset.v1'>> {
  const [caller, target] = await Promise.all([
    calls.call('rbac.principal.get.v1', { principalId: callerId }, context),
    calls.call('rbac.principal.get.v1', { principalId: accountId }, context),
  ]);
  const held = new Set(caller.permissions);
  if (!target.permissions.every((permission) => held.has(permission))) throw new AppError('escalation_refused');
  return calls.call('identity.password.issue_reset.v1', { accountId }, context);
}
