import { Controller, Inject } from '@nestjs/common';
import { identityRpc } from '@prime-nest/contracts/identity';
import type { RpcParsed } from '@prime-nest/contracts/rpc';
import { createRpc } from '@prime-nest/kit/bus/rpc';
import { ReadSessions } from './read-sessions.command.js';
import { RevocationForce } from './revocation-force.command.js';

const Rpc = createRpc(identityRpc);
type Asked<S extends keyof typeof identityRpc> = RpcParsed<typeof identityRpc, S>;

@Controller()
export class RevocationRpc {
  constructor(
    @Inject(ReadSessions) private readonly reading: ReadSessions,
    @Inject(RevocationForce) private readonly force: RevocationForce,
  ) {}

  @Rpc('identity.revocation.list.v1')
  async listRevocations({ after = 0 }: Asked<'identity.revocation.list.v1'>) {
    const { sequence, head, revocations } = await this.reading.revocations(after);
    return { sequence, head, revocations: [...revocations] };
  }

  @Rpc('identity.revocation.renew_lease.v1')
  async renewLease(request: Asked<'identity.revocation.renew_lease.v1'>) {
    return { sequence: await this.force.renew(request) };
  }

  @Rpc('identity.revocation.end_lease.v1')
  async endLease({ memberId }: Asked<'identity.revocation.end_lease.v1'>) {
    await this.force.end(memberId);
    return {};
  }
}
