import { Body, Controller, Delete, Get, Inject, Param, Post, Put, Query, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { CallContext } from '@prime-nest/contracts/context';
import { Id } from '@prime-nest/contracts/ids';
import { page } from '@prime-nest/contracts/page';
import { Permission, rbacRpc } from '@prime-nest/contracts/rbac';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import { Requires } from '../access/route-access.decorator.js';
import type { Calls } from '../calls.js';
import { Describe, ifMatch } from '../http/describe.decorator.js';
import { showEffect, showLocation, showVersion } from '../http/effects.js';
import { Changing, Context } from '../http/parameters.decorator.js';
import type { Change } from '../http/parameters.decorator.js';
import { PageQuery } from '../http/query.js';
import { CALLS } from '../tokens.js';
import * as sample from './samples.js';

const PermissionQuery = PageQuery.extend({ featureId: Id.optional() });
const NewPermissionBody = rbacRpc['rbac.permission.create.v1'].request.meta({ id: 'NewPermission' });
const PermissionBody = rbacRpc['rbac.permission.update.v1'].request
  .omit({ id: true, version: true })
  .meta({ id: 'PermissionChange' });
const PermissionView = Permission.meta({ id: 'Permission' });
const PermissionPage = page(Permission).meta({ id: 'PermissionPage' });

@ApiTags('permissions')
@Controller('permissions')
export class PermissionsHttp {
  constructor(@Inject(CALLS) private readonly calls: Calls) {}

  @Get()
  @Requires('rbac:view')
  @Describe({ summary: 'List permissions', response: PermissionPage, example: { data: [sample.permission], total: 1 } })
  list(
    @Query({ schema: PermissionQuery }) query: z.output<typeof PermissionQuery>,
    @Context() context: CallContext,
  ): Promise<z.output<typeof PermissionPage>> {
    return this.calls.call('rbac.permission.list.v1', query, context);
  }

  @Post()
  @Requires('rbac:create')
  @Describe({
    summary: 'Create a permission of a feature',
    status: 201,
    response: PermissionView,
    example: sample.permission,
    request: { featureId: sample.feature.id, action: 'view', description: sample.permission.description },
    errors: ['name_taken', 'reference_missing'],
  })
  async create(
    @Body({ schema: NewPermissionBody }) body: z.output<typeof NewPermissionBody>,
    @Context() context: CallContext,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Permission> {
    const { permission, effect } = await this.calls.call('rbac.permission.create.v1', body, context);
    showEffect(reply, effect);
    showVersion(reply, permission);
    showLocation(reply, `${reply.request.routeOptions.url ?? ''}/${permission.id}`);
    return permission;
  }

  @Get(':id')
  @Requires('rbac:view')
  @Describe({
    summary: 'Show a permission',
    response: PermissionView,
    example: sample.permission,
    errors: ['not_found'],
  })
  async get(
    @Param('id', { schema: Id }) id: string,
    @Context() context: CallContext,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Permission> {
    const permission = await this.calls.call('rbac.permission.get.v1', { id }, context);
    showVersion(reply, permission);
    return permission;
  }

  @Put(':id')
  @Requires('rbac:edit')
  @Describe({
    summary: 'Replace the description of a permission',
    description: 'What it permits is fixed by its name.',
    response: PermissionView,
    example: sample.permission,
    request: { description: sample.permission.description },
    errors: ['not_found', 'version_conflict', 'bad_request'],
    headers: ifMatch,
  })
  async update(
    @Param('id', { schema: Id }) id: string,
    @Body({ schema: PermissionBody }) body: z.output<typeof PermissionBody>,
    @Changing() { context, expected, reply }: Change,
  ): Promise<Permission> {
    const request = { id, ...body, ...expected };
    const { permission, effect } = await this.calls.call('rbac.permission.update.v1', request, context);
    showEffect(reply, effect);
    showVersion(reply, permission);
    return permission;
  }

  @Delete(':id')
  @Requires('rbac:delete')
  @Describe({
    summary: 'Delete a permission that no role grants',
    status: 204,
    errors: ['not_found', 'in_use', 'version_conflict', 'bad_request'],
    headers: ifMatch,
  })
  async delete(
    @Param('id', { schema: Id }) id: string,
    @Changing() { context, expected, reply }: Change,
  ): Promise<void> {
    const { effect } = await this.calls.call('rbac.permission.delete.v1', { id, ...expected }, context);
    showEffect(reply, effect);
  }
}
