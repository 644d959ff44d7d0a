import { Controller, Inject } from '@nestjs/common';
import { identityRpc } from '@prime-nest/contracts/identity';
import { createRpc } from '@prime-nest/kit/bus/rpc';
import { SigningKeys } from './signing-keys.js';

const Rpc = createRpc(identityRpc);

@Controller()
export class KeyRpc {
  constructor(@Inject(SigningKeys) private readonly keys: SigningKeys) {}

  @Rpc('identity.key.list.v1')
  list() {
    return Promise.resolve({ keys: this.keys.published() });
  }
}
