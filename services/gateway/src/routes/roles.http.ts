import { Body, Controller, Delete, Get, Inject, Param, Post, Put, Query, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { CallContext } from '@prime-nest/contracts/context';
import { Id } from '@prime-nest/contracts/ids';
import { page } from '@prime-nest/contracts/page';
import { Preview, Role, RoleWithPermissions, rbacRpc } from '@prime-nest/contracts/rbac';
import type { FastifyReply } from 'fastify';
import { type z } from 'zod';
import { Requires } from '../access/route-access.decorator.js';
import type { Calls } from '../calls.js';
import { Describe, ifMatch } from '../http/describe.decorator.js';
import { dryRunText, showEffect, showLocation, showVersion } from '../http/effects.js';
import { Changing, Context } from '../http/parameters.decorator.js';
import type { Change } from '../http/parameters.decorator.js';
import { PageQuery, TryQuery } from '../http/query.js';
import { CALLS } from '../tokens.js';
import * as sample from './samples.js';

const NewRoleBody = rbacRpc['rbac.role.create.v1'].request.meta({ id: 'NewRole' });
const RoleBody = rbacRpc['rbac.role.update.v1'].request
  .omit({ id: true, version: true, dryRun: true })
  .meta({ id: 'RoleChange' });
const PermissionIdsBody = rbacRpc['rbac.role.replace_permissions.v1'].request
  .pick({ permissionIds: true })
  .meta({ id: 'PermissionIds' });
const RoleView = Role.meta({ id: 'Role' });
const RoleDetails = RoleWithPermissions.meta({ id: 'RoleWithPermissions' });
const TriedRole = Role.extend({ preview: Preview.optional() }).meta({ id: 'TriedRole' });
const TriedDetails = RoleWithPermissions.extend({ preview: Preview.optional() }).meta({
  id: 'TriedRoleWithPermissions',
});
const RolePage = page(Role).meta({ id: 'RolePage' });

const details = { ...sample.role, permissions: [{ id: sample.permission.id, name: sample.permission.name }] };

@ApiTags('roles')
@Controller('roles')
export class RolesHttp {
  constructor(@Inject(CALLS) private readonly calls: Calls) {}

  @Get()
  @Requires('rbac:view')
  @Describe({ summary: 'List roles', response: RolePage, example: { data: [sample.role], total: 1 } })
  list(
    @Query({ schema: PageQuery }) query: PageQuery,
    @Context() context: CallContext,
  ): Promise<z.output<typeof RolePage>> {
    return this.calls.call('rbac.role.list.v1', query, context);
  }

  @Post()
  @Requires('rbac:create')
  @Describe({
    summary: 'Create a role',
    status: 201,
    response: RoleView,
    example: sample.role,
    request: { name: sample.role.name, description: sample.role.description },
    errors: ['name_taken'],
  })
  async create(
    @Body({ schema: NewRoleBody }) body: z.output<typeof NewRoleBody>,
    @Context() context: CallContext,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Role> {
    const { role, effect } = await this.calls.call('rbac.role.create.v1', body, context);
    showEffect(reply, effect);
    showVersion(reply, role);
    showLocation(reply, `${reply.request.routeOptions.url ?? ''}/${role.id}`);
    return role;
  }

  @Get(':id')
  @Requires('rbac:view')
  @Describe({
    summary: 'Show a role with its permissions',
    response: RoleDetails,
    example: details,
    errors: ['not_found'],
  })
  async get(
    @Param('id', { schema: Id }) id: string,
    @Context() context: CallContext,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RoleWithPermissions> {
    const role = await this.calls.call('rbac.role.get.v1', { id }, context);
    showVersion(reply, role);
    return role;
  }

  @Put(':id')
  @Requires('rbac:edit')
  @Describe({
    summary: 'Replace name, description and activity of a role',
    description: dryRunText,
    response: TriedRole,
    example: sample.role,
    request: { name: sample.role.name, description: sample.role.description, isActive: true },
    errors: ['not_found', 'name_taken', 'version_conflict', 'escalation_refused', 'last_administrator', 'bad_request'],
    headers: ifMatch,
  })
  async update(
    @Param('id', { schema: Id }) id: string,
    @Body({ schema: RoleBody }) body: z.output<typeof RoleBody>,
    @Query({ schema: TryQuery }) { dryRun }: TryQuery,
    @Changing() { context, expected, reply }: Change,
  ): Promise<z.output<typeof TriedRole>> {
    const request = { id, ...body, ...expected, dryRun };
    const { role, effect, preview } = await this.calls.call('rbac.role.update.v1', request, context);
    showEffect(reply, effect);
    if (preview !== undefined) return { ...role, preview };
    showVersion(reply, role);
    return role;
  }

  @Delete(':id')
  @Requires('rbac:delete')
  @Describe({
    summary: 'Delete a role that nobody holds',
    status: 204,
    errors: ['not_found', 'in_use', 'version_conflict', 'last_administrator', 'bad_request'],
    headers: ifMatch,
  })
  async delete(
    @Param('id', { schema: Id }) id: string,
    @Changing() { context, expected, reply }: Change,
  ): Promise<void> {
    const { effect } = await this.calls.call('rbac.role.delete.v1', { id, ...expected }, context);
    showEffect(reply, effect);
  }

  @Put(':id/permissions')
  @Requires('rbac:assign_permissions')
  @Describe({
    summary: 'Replace the permissions of a role',
    description: dryRunText,
    response: TriedDetails,
    example: details,
    request: { permissionIds: [sample.permission.id] },
    errors: [
      'not_found',
      'reference_missing',
      'version_conflict',
      'escalation_refused',
      'last_administrator',
      'bad_request',
    ],
    headers: ifMatch,
  })
  async replacePermissions(
    @Param('id', { schema: Id }) id: string,
    @Body({ schema: PermissionIdsBody }) { permissionIds }: z.output<typeof PermissionIdsBody>,
    @Query({ schema: TryQuery }) { dryRun }: TryQuery,
    @Changing() { context, expected, reply }: Change,
  ): Promise<z.output<typeof TriedDetails>> {
    const request = { id, permissionIds, ...expected, dryRun };
    const { role, effect, preview } = await this.calls.call('rbac.role.replace_permissions.v1', request, context);
    showEffect(reply, effect);
    if (preview !== undefined) return { ...role, preview };
    showVersion(reply, role);
    return role;
  }
}
