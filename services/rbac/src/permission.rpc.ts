import { Controller, Inject } from '@nestjs/common';
import { AppError } from '@prime-nest/contracts/errors';
import type { CallContext } from '@prime-nest/contracts/context';
import { rbacRpc } from '@prime-nest/contracts/rbac';
import type { RpcParsed, RpcResponse } from '@prime-nest/contracts/rpc';
import { createRpc } from '@prime-nest/kit/bus/server';
import type { Database } from '@prime-nest/kit/database';
import type { PermissionCommands } from './catalog/permission.command.js';
import { findPermission, listPermissions } from './catalog/permission.store.js';
import { DATABASE, PERMISSION_COMMANDS } from './tokens.js';

const Rpc = createRpc(rbacRpc);
type Verb = 'list' | 'get' | 'create' | 'update' | 'delete';
type Request<V extends Verb> = RpcParsed<typeof rbacRpc, `rbac.permission.${V}.v1`>;
type Response<V extends Verb> = RpcResponse<typeof rbacRpc, `rbac.permission.${V}.v1`>;

@Controller()
export class PermissionRpc {
  constructor(
    @Inject(DATABASE) private readonly database: Database,
    @Inject(PERMISSION_COMMANDS) private readonly permissions: PermissionCommands,
  ) {}

  @Rpc('rbac.permission.list.v1')
  list(request: Request<'list'>): Promise<Response<'list'>> {
    return listPermissions(this.database, request);
  }

  @Rpc('rbac.permission.get.v1')
  async get({ id }: Request<'get'>): Promise<Response<'get'>> {
    const permission = await findPermission(this.database, id);
    if (permission === undefined) throw new AppError('not_found');
    return permission;
  }

  @Rpc('rbac.permission.create.v1')
  async create(request: Request<'create'>, context: CallContext): Promise<Response<'create'>> {
    const { result, effect } = await this.permissions.create(request, context);
    return { permission: result, effect };
  }

  @Rpc('rbac.permission.update.v1')
  async update(request: Request<'update'>, context: CallContext): Promise<Response<'update'>> {
    const { result, effect } = await this.permissions.update(request, context);
    return { permission: result, effect };
  }

  @Rpc('rbac.permission.delete.v1')
  async delete(request: Request<'delete'>, context: CallContext): Promise<Response<'delete'>> {
    const { effect } = await this.permissions.delete(request, context);
    return { effect };
  }
}
