import { Controller, Inject } from '@nestjs/common';
import type { CallContext } from '@prime-nest/contracts/context';
import { identityRpc } from '@prime-nest/contracts/identity';
import type { RpcParsed } from '@prime-nest/contracts/rpc';
import { createRpc } from '@prime-nest/kit/bus/rpc';
import { CreateAccount } from './create-account.command.js';
import { ManageAccounts } from './manage-accounts.command.js';
import { ReadAccounts } from './read-accounts.command.js';

const Rpc = createRpc(identityRpc);
type Asked<S extends keyof typeof identityRpc> = RpcParsed<typeof identityRpc, S>;

@Controller()
export class AccountRpc {
  constructor(
    @Inject(CreateAccount) private readonly creation: CreateAccount,
    @Inject(ReadAccounts) private readonly reading: ReadAccounts,
    @Inject(ManageAccounts) private readonly management: ManageAccounts,
  ) {}

  @Rpc('identity.account.create.v1')
  async create(request: Asked<'identity.account.create.v1'>, context: CallContext) {
    return this.reading.describe(await this.creation.run(request, context));
  }

  @Rpc('identity.account.get.v1')
  get({ id }: Asked<'identity.account.get.v1'>) {
    return this.reading.get(id);
  }

  @Rpc('identity.account.list.v1')
  list(request: Asked<'identity.account.list.v1'>) {
    return this.reading.list(request);
  }

  @Rpc('identity.account.update.v1')
  async update(request: Asked<'identity.account.update.v1'>, context: CallContext) {
    return this.reading.describe(await this.management.update(request, context));
  }

  @Rpc('identity.account.delete.v1')
  async delete({ id }: Asked<'identity.account.delete.v1'>, context: CallContext) {
    await this.management.remove(id, context);
    return {};
  }

  @Rpc('identity.account.unlock.v1')
  async unlock({ id }: Asked<'identity.account.unlock.v1'>, context: CallContext) {
    await this.management.unlock(id, context);
    return {};
  }
}
