import { Controller, Inject } from '@nestjs/common';
import { rbacRpc } from '@prime-nest/contracts/rbac';
import type { RpcResponse } from '@prime-nest/contracts/rpc';
import { createRpc } from '@prime-nest/kit/bus/server';
import type { Database } from '@prime-nest/kit/database';
import { barrierMsMax } from '@prime-nest/kit/member-barrier';
import { type Guarantee, leaseMsMax } from './policy/guarantee.js';
import { readMembers } from './policy/member.store.js';
import { readHead } from './policy/policy.store.js';
import { DATABASE, GUARANTEE } from './tokens.js';

const Rpc = createRpc(rbacRpc);

@Controller()
export class GuaranteeRpc {
  constructor(
    @Inject(DATABASE) private readonly database: Database,
    @Inject(GUARANTEE) private readonly guarantee: Guarantee,
  ) {}

  @Rpc('rbac.guarantee.get.v1')
  async get(): Promise<RpcResponse<typeof rbacRpc, 'rbac.guarantee.get.v1'>> {
    const { revision } = await readHead(this.database);
    const members = await readMembers(this.database);
    // Replicas of another configuration may hold longer leases than this one.
    const held = members.map(({ leftMs }) => leftMs);
    return {
      revision,
      ...this.guarantee,
      barrierMsMax: barrierMsMax(Math.min(leaseMsMax, Math.max(this.guarantee.leaseMs, ...held))),
      members: members.map(({ memberId, leftMs, ackedRevision, startedAt }) => ({
        id: memberId,
        leaseLeftMs: leftMs,
        isLive: leftMs > 0,
        ackedRevision,
        startedAt,
      })),
    };
  }
}
