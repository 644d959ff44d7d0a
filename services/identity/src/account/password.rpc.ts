import { Controller, Inject } from '@nestjs/common';
import type { CallContext } from '@prime-nest/contracts/context';
import { identityRpc } from '@prime-nest/contracts/identity';
import type { RpcParsed } from '@prime-nest/contracts/rpc';
import { createRpc } from '@prime-nest/kit/bus/rpc';
import { ChangePassword } from './change-password.command.js';
import { ResetPassword } from './reset-password.command.js';

const Rpc = createRpc(identityRpc);
type Asked<S extends keyof typeof identityRpc> = RpcParsed<typeof identityRpc, S>;

@Controller()
export class PasswordRpc {
  constructor(
    @Inject(ChangePassword) private readonly changing: ChangePassword,
    @Inject(ResetPassword) private readonly resetting: ResetPassword,
  ) {}

  @Rpc('identity.password.change.v1')
  async change(request: Asked<'identity.password.change.v1'>, context: CallContext) {
    await this.changing.run(request, context);
    return {};
  }

  @Rpc('identity.password.issue_reset.v1')
  issueReset({ accountId }: Asked<'identity.password.issue_reset.v1'>, context: CallContext) {
    return this.resetting.issue(accountId, context);
  }

  @Rpc('identity.password.reset.v1')
  async reset(request: Asked<'identity.password.reset.v1'>, context: CallContext) {
    await this.resetting.redeem(request, context);
    return {};
  }
}
