import { Controller, Inject } from '@nestjs/common';
import type { CallContext } from '@prime-nest/contracts/context';
import { identityRpc } from '@prime-nest/contracts/identity';
import type { RpcParsed } from '@prime-nest/contracts/rpc';
import { createRpc } from '@prime-nest/kit/bus/rpc';
import { KeepKeys } from './keep-keys.job.js';
import { RotateKeys } from './rotate-keys.command.js';
import { SigningKeys } from './signing-keys.js';

const Rpc = createRpc(identityRpc);
type Asked<S extends keyof typeof identityRpc> = RpcParsed<typeof identityRpc, S>;

@Controller()
export class KeyRpc {
  constructor(
    @Inject(SigningKeys) private readonly keys: SigningKeys,
    @Inject(RotateKeys) private readonly rotation: RotateKeys,
    @Inject(KeepKeys) private readonly keepKeys: KeepKeys,
  ) {}

  @Rpc('identity.key.list.v1')
  list() {
    return Promise.resolve({ keys: this.keys.published() });
  }

  @Rpc('identity.key.status.v1')
  async status() {
    return { keys: await this.rotation.status() };
  }

  @Rpc('identity.key.rotate.v1')
  async rotate(_request: Asked<'identity.key.rotate.v1'>, context: CallContext) {
    const kid = await this.rotation.announceNext(context);
    // Gateways hear of it now and not with the next beat; the other replicas follow with theirs.
    await this.keepKeys.reload();
    return { kid };
  }

  @Rpc('identity.key.compromise.v1')
  async compromise({ kid }: Asked<'identity.key.compromise.v1'>, context: CallContext) {
    await this.rotation.compromise(kid, context);
    await this.keepKeys.reload();
    return {};
  }
}
