import { Controller, Inject } from '@nestjs/common';
import { AppError } from '@prime-nest/contracts/errors';
import type { CallContext } from '@prime-nest/contracts/context';
import { rbacRpc } from '@prime-nest/contracts/rbac';
import type { RpcParsed, RpcResponse } from '@prime-nest/contracts/rpc';
import { createRpc } from '@prime-nest/kit/bus/server';
import type { Database } from '@prime-nest/kit/database';
import type { FeatureCommands } from './catalog/feature.command.js';
import { findFeature, listFeatures } from './catalog/feature.store.js';
import { DATABASE, FEATURE_COMMANDS } from './tokens.js';

const Rpc = createRpc(rbacRpc);
type Verb = 'list' | 'get' | 'create' | 'update' | 'delete';
type Request<V extends Verb> = RpcParsed<typeof rbacRpc, `rbac.feature.${V}.v1`>;
type Response<V extends Verb> = RpcResponse<typeof rbacRpc, `rbac.feature.${V}.v1`>;

@Controller()
export class FeatureRpc {
  constructor(
    @Inject(DATABASE) private readonly database: Database,
    @Inject(FEATURE_COMMANDS) private readonly features: FeatureCommands,
  ) {}

  @Rpc('rbac.feature.list.v1')
  list(request: Request<'list'>): Promise<Response<'list'>> {
    return listFeatures(this.database, request);
  }

  @Rpc('rbac.feature.get.v1')
  async get({ id }: Request<'get'>): Promise<Response<'get'>> {
    const feature = await findFeature(this.database, id);
    if (feature === undefined) throw new AppError('not_found');
    return feature;
  }

  @Rpc('rbac.feature.create.v1')
  async create(request: Request<'create'>, context: CallContext): Promise<Response<'create'>> {
    const { result, effect } = await this.features.create(request, context);
    return { feature: result, effect };
  }

  @Rpc('rbac.feature.update.v1')
  async update(request: Request<'update'>, context: CallContext): Promise<Response<'update'>> {
    const { result, effect } = await this.features.update(request, context);
    return { feature: result, effect };
  }

  @Rpc('rbac.feature.delete.v1')
  async delete(request: Request<'delete'>, context: CallContext): Promise<Response<'delete'>> {
    const { effect } = await this.features.delete(request, context);
    return { effect };
  }
}
