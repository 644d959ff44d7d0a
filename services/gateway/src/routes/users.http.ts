import { Body, Controller, Delete, Get, Inject, Param, Patch, Post, Put, Query, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { CallContext } from '@prime-nest/contracts/context';
import { Account, Email, Password, PersonName, Session, identityRpc } from '@prime-nest/contracts/identity';
import { Id } from '@prime-nest/contracts/ids';
import { page } from '@prime-nest/contracts/page';
import { Preview } from '@prime-nest/contracts/rbac';
import { newId } from '@prime-nest/kit/ids';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Requires } from '../access/route-access.decorator.js';
import type { Calls } from '../calls.js';
import { Describe } from '../http/describe.decorator.js';
import { dryRunText, showEffect, showLocation } from '../http/effects.js';
import { Caller, Changing, Context } from '../http/parameters.decorator.js';
import type { Change } from '../http/parameters.decorator.js';
import type { Principal } from '../access/principal.js';
import { PageQuery, TryQuery } from '../http/query.js';
import { CALLS } from '../tokens.js';
import { deleteUser, updateUser } from '../users/change-user.command.js';
import { issueReset } from '../users/issue-reset.command.js';
import { createUser } from '../users/create-user.command.js';
import * as sample from './samples.js';

const RoleIds = z.array(Id).max(200);
const HeldRole = z.object({ id: Id, name: z.string(), expiresAt: z.iso.datetime().optional() });

const NewUserBody = z
  .strictObject({ email: Email, name: PersonName, password: Password, roleIds: RoleIds.default([]) })
  .meta({ id: 'NewUser' });
const UserChangeBody = z
  .strictObject({ name: PersonName.optional(), isActive: z.boolean().optional() })
  .refine((change) => Object.keys(change).length > 0, { error: 'must change something' })
  .meta({ id: 'UserChange' });
const RoleIdsBody = z
  .strictObject({
    roleIds: RoleIds,
    /** Role id to the instant at which that assignment ends by itself. */
    expiresAt: z.record(Id, z.iso.datetime()).optional(),
  })
  .meta({ id: 'RoleIds' });
const ResetCode = identityRpc['identity.password.issue_reset.v1'].response.meta({ id: 'ResetCode' });

const User = Account.meta({ id: 'User' });
const UserWithRoles = Account.extend({ roles: z.array(HeldRole) }).meta({ id: 'UserWithRoles' });
const UserPage = page(Account).meta({ id: 'UserPage' });
const HeldRoles = z.object({ roles: z.array(HeldRole), preview: Preview.optional() }).meta({ id: 'HeldRoles' });
const UserSessions = z.object({ data: z.array(Session) }).meta({ id: 'UserSessions' });

const withRoles = { ...sample.account, roles: [{ id: sample.role.id, name: sample.role.name }] };

@ApiTags('users')
@Controller('users')
export class UsersHttp {
  constructor(@Inject(CALLS) private readonly calls: Calls) {}

  @Post()
  @Requires('users:create')
  @Describe({
    summary: 'Create a user, with roles',
    description: 'Giving roles also needs `users:assign_roles`, and nobody can give what he does not hold.',
    status: 201,
    response: UserWithRoles,
    example: withRoles,
    request: {
      email: sample.account.email,
      name: sample.account.name,
      password: sample.password,
      roleIds: [sample.role.id],
    },
    errors: ['email_taken', 'password_rejected', 'reference_missing', 'escalation_refused'],
  })
  async create(
    @Body({ schema: NewUserBody }) body: z.output<typeof NewUserBody>,
    @Context() context: CallContext,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<z.output<typeof UserWithRoles>> {
    const { account, roles, effect } = await createUser(this.calls, { id: newId(), ...body }, context);
    if (effect !== undefined) showEffect(reply, effect);
    showLocation(reply, `${reply.request.routeOptions.url ?? ''}/${account.id}`);
    return { ...account, roles: [...roles] };
  }

  @Get()
  @Requires('users:view')
  @Describe({
    summary: 'List users',
    response: UserPage,
    example: { data: [sample.account], total: 1 },
  })
  list(
    @Query({ schema: PageQuery }) query: PageQuery,
    @Context() context: CallContext,
  ): Promise<z.output<typeof UserPage>> {
    return this.calls.call('identity.account.list.v1', query, context);
  }

  @Get(':id')
  @Requires('users:view')
  @Describe({
    summary: 'Show a user with its roles',
    response: UserWithRoles,
    example: withRoles,
    errors: ['not_found'],
  })
  async get(
    @Param('id', { schema: Id }) id: string,
    @Context() context: CallContext,
  ): Promise<z.output<typeof UserWithRoles>> {
    const [account, { roles }] = await Promise.all([
      this.calls.call('identity.account.get.v1', { id }, context),
      this.calls.call('rbac.principal.get.v1', { principalId: id }, context),
    ]);
    return { ...account, roles: roles.map((role) => HeldRole.parse(role)) };
  }

  @Patch(':id')
  @Requires('users:edit')
  @Describe({
    summary: 'Change the name or the activity of a user',
    description: 'Deactivation ends every session of the user.',
    response: User,
    example: sample.account,
    request: { isActive: true },
    errors: ['not_found', 'last_administrator', 'escalation_refused'],
  })
  async update(
    @Param('id', { schema: Id }) id: string,
    @Body({ schema: UserChangeBody }) change: z.output<typeof UserChangeBody>,
    @Context() context: CallContext,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Account> {
    const { account, effect } = await updateUser(this.calls, { id, ...change }, context);
    if (effect !== undefined) showEffect(reply, effect);
    return account;
  }

  @Delete(':id')
  @Requires('users:delete')
  @Describe({
    summary: 'Delete a user',
    description: 'Its address becomes free and its sessions end; what it did stays in the audit log.',
    status: 204,
    errors: ['not_found', 'last_administrator', 'escalation_refused'],
  })
  async delete(
    @Param('id', { schema: Id }) id: string,
    @Context() context: CallContext,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    showEffect(reply, await deleteUser(this.calls, id, context));
  }

  @Put(':id/roles')
  @Requires('users:assign_roles')
  @Describe({
    summary: 'Replace the roles of a user',
    description: dryRunText,
    response: HeldRoles,
    example: { roles: withRoles.roles },
    request: { roleIds: [sample.role.id] },
    errors: ['not_found', 'reference_missing', 'escalation_refused', 'last_administrator'],
  })
  async replaceRoles(
    @Param('id', { schema: Id }) id: string,
    @Body({ schema: RoleIdsBody }) { roleIds, expiresAt }: z.output<typeof RoleIdsBody>,
    @Query({ schema: TryQuery }) { dryRun }: TryQuery,
    @Changing() { context, reply }: Change,
  ): Promise<z.output<typeof HeldRoles>> {
    await this.calls.call('identity.account.get.v1', { id }, context);
    const request = { principalId: id, roleIds, dryRun, ...(expiresAt === undefined ? {} : { expiresAt }) };
    const { roles, preview, effect } = await this.calls.call('rbac.principal.replace_roles.v1', request, context);
    showEffect(reply, effect);
    return { roles, ...(preview === undefined ? {} : { preview }) };
  }

  @Post(':id/password-reset')
  @Requires('users:edit', { limit: { name: 'issue-reset', share: 0.05 } })
  @Describe({
    summary: 'Make a one-time code with which a user can set a new password',
    description:
      'To be passed on to the user. Refused for a user whose roles, also those that are switched off, give something that the caller may not give on.',
    status: 201,
    response: ResetCode,
    example: { resetCode: 'a-code-that-is-shown-once', expiresAt: '2026-01-31T10:00:00.000Z' },
    errors: ['not_found', 'escalation_refused'],
  })
  issueReset(
    @Param('id', { schema: Id }) id: string,
    @Caller() caller: Principal,
    @Context() context: CallContext,
  ): Promise<z.output<typeof ResetCode>> {
    return issueReset(this.calls, { accountId: id, callerId: caller.id }, context);
  }

  @Post(':id/unlock')
  @Requires('users:edit')
  @Describe({ summary: 'Unlock a user after failed attempts', status: 204, errors: ['not_found'] })
  async unlock(@Param('id', { schema: Id }) id: string, @Context() context: CallContext): Promise<void> {
    await this.calls.call('identity.account.unlock.v1', { id }, context);
  }

  @Get(':id/sessions')
  @Requires('users:view')
  @Describe({
    summary: 'List the live sessions of a user',
    response: UserSessions,
    example: { data: [{ ...sample.session, accountId: sample.account.id }] },
    errors: ['not_found'],
  })
  sessions(
    @Param('id', { schema: Id }) id: string,
    @Context() context: CallContext,
  ): Promise<z.output<typeof UserSessions>> {
    return this.calls.call('identity.session.list.v1', { accountId: id }, context);
  }

  @Delete(':id/sessions')
  @Requires('users:edit')
  @Describe({ summary: 'End every session of a user', status: 204, errors: ['not_found'] })
  async endSessions(@Param('id', { schema: Id }) id: string, @Context() context: CallContext): Promise<void> {
    await this.calls.call('identity.session.revoke_all.v1', { accountId: id, reason: 'administrator' }, context);
  }
}
