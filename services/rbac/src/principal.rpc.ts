import { Controller, Inject } from '@nestjs/common';
import type { CallContext } from '@prime-nest/contracts/context';
import { rbacRpc } from '@prime-nest/contracts/rbac';
import type { RpcParsed, RpcResponse } from '@prime-nest/contracts/rpc';
import { createRpc } from '@prime-nest/kit/bus/server';
import { rolesOf } from './assignment/assignment.js';
import type { PrincipalCommands } from './assignment/principal.command.js';
import { attainableBits, grantableBits } from './policy/escalation.js';
import { previewOf } from './policy/preview.js';
import type { Replica } from './policy/replica.store.js';
import { effectiveBits, namesOf } from './policy/snapshot.js';
import { PRINCIPAL_COMMANDS, REPLICA } from './tokens.js';

const Rpc = createRpc(rbacRpc);
type Verb = 'get' | 'replace_roles' | 'set_active';
type Request<V extends Verb> = RpcParsed<typeof rbacRpc, `rbac.principal.${V}.v1`>;
type Response<V extends Verb> = RpcResponse<typeof rbacRpc, `rbac.principal.${V}.v1`>;

@Controller()
export class PrincipalRpc {
  constructor(
    @Inject(REPLICA) private readonly replica: Replica,
    @Inject(PRINCIPAL_COMMANDS) private readonly principals: PrincipalCommands,
  ) {}

  @Rpc('rbac.principal.get.v1')
  async get({ principalId, withReach }: Request<'get'>): Promise<Response<'get'>> {
    const { snapshot, nowMs } = await this.replica.fresh();
    const principal = snapshot.principals.get(principalId);
    return {
      principalId,
      isActive: principal?.isActive ?? true,
      roles: rolesOf(snapshot, principalId),
      permissions: namesOf(snapshot, effectiveBits(snapshot, principal, nowMs)),
      ...(withReach === true
        ? {
            reach: {
              attainable: namesOf(snapshot, attainableBits(snapshot, principalId, nowMs)),
              grantable: namesOf(snapshot, grantableBits(snapshot, principalId)),
            },
          }
        : {}),
      revision: snapshot.revision,
    };
  }

  @Rpc('rbac.principal.replace_roles.v1')
  async replaceRoles(request: Request<'replace_roles'>, context: CallContext): Promise<Response<'replace_roles'>> {
    const { result, effect, preview } = await this.principals.replaceRoles(request, context);
    return { roles: result, effect, ...previewOf(preview) };
  }

  @Rpc('rbac.principal.set_active.v1')
  async setActive(request: Request<'set_active'>, context: CallContext): Promise<Response<'set_active'>> {
    const { effect, preview } = await this.principals.setActive(request, context);
    return { effect, ...previewOf(preview) };
  }
}
