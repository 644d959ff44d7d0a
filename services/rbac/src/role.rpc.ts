import { Controller, Inject } from '@nestjs/common';
import { AppError } from '@prime-nest/contracts/errors';
import type { CallContext } from '@prime-nest/contracts/context';
import { rbacRpc } from '@prime-nest/contracts/rbac';
import type { RpcParsed, RpcResponse } from '@prime-nest/contracts/rpc';
import { createRpc } from '@prime-nest/kit/bus/server';
import type { Database } from '@prime-nest/kit/database';
import type { RoleCommands } from './catalog/role.command.js';
import { findRole, listRoles } from './catalog/role.store.js';
import { previewOf } from './policy/preview.js';
import { DATABASE, ROLE_COMMANDS } from './tokens.js';

const Rpc = createRpc(rbacRpc);
type Verb = 'list' | 'get' | 'create' | 'update' | 'delete' | 'replace_permissions';
type Request<V extends Verb> = RpcParsed<typeof rbacRpc, `rbac.role.${V}.v1`>;
type Response<V extends Verb> = RpcResponse<typeof rbacRpc, `rbac.role.${V}.v1`>;

@Controller()
export class RoleRpc {
  constructor(
    @Inject(DATABASE) private readonly database: Database,
    @Inject(ROLE_COMMANDS) private readonly roles: RoleCommands,
  ) {}

  @Rpc('rbac.role.list.v1')
  list(request: Request<'list'>): Promise<Response<'list'>> {
    return listRoles(this.database, request);
  }

  @Rpc('rbac.role.get.v1')
  async get({ id }: Request<'get'>): Promise<Response<'get'>> {
    const role = await findRole(this.database, id);
    if (role === undefined) throw new AppError('not_found');
    return role;
  }

  @Rpc('rbac.role.create.v1')
  async create(request: Request<'create'>, context: CallContext): Promise<Response<'create'>> {
    const { result, effect } = await this.roles.create(request, context);
    return { role: result, effect };
  }

  @Rpc('rbac.role.update.v1')
  async update(request: Request<'update'>, context: CallContext): Promise<Response<'update'>> {
    const { result, effect, preview } = await this.roles.update(request, context);
    return { role: result, effect, ...previewOf(preview) };
  }

  @Rpc('rbac.role.delete.v1')
  async delete(request: Request<'delete'>, context: CallContext): Promise<Response<'delete'>> {
    const { effect, preview } = await this.roles.delete(request, context);
    return { effect, ...previewOf(preview) };
  }

  @Rpc('rbac.role.replace_permissions.v1')
  async replacePermissions(
    request: Request<'replace_permissions'>,
    context: CallContext,
  ): Promise<Response<'replace_permissions'>> {
    const { result, effect, preview } = await this.roles.replacePermissions(request, context);
    return { role: result, effect, ...previewOf(preview) };
  }
}
