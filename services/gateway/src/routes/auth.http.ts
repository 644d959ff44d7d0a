import { Body, Controller, Delete, Get, Inject, Param, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { CallContext } from '@prime-nest/contracts/context';
import { Account, Email, Password, Session, TokenResponse } from '@prime-nest/contracts/identity';
import { Id } from '@prime-nest/contracts/ids';
import { z } from 'zod';
import type { Principal } from '../access/principal.js';
import { Authenticated, Public } from '../access/route-access.decorator.js';
import type { Calls } from '../calls.js';
import { Describe } from '../http/describe.decorator.js';
import { Caller, Context, RetryKey } from '../http/parameters.decorator.js';
import { CALLS } from '../tokens.js';
import * as sample from './samples.js';

const LoginBody = z
  .strictObject({
    email: Email,
    password: Password,
    /** From an earlier answer: attempts from this device are counted apart from a stranger's. */
    device_token: z.string().min(1).max(512).optional(),
  })
  .meta({ id: 'Login' });
const RefreshBody = z.strictObject({ refresh_token: z.string().min(1).max(512) }).meta({ id: 'Refresh' });
const ChangePasswordBody = z
  .strictObject({ currentPassword: Password, newPassword: Password })
  .meta({ id: 'ChangePassword' });
const ResetPasswordBody = z
  .strictObject({ resetCode: z.string().min(1).max(128), newPassword: Password })
  .meta({ id: 'ResetPassword' });
const Tokens = TokenResponse.extend({ device_token: z.string().optional() }).meta({ id: 'Tokens' });
const OwnSession = Session.omit({ accountId: true }).extend({ current: z.boolean() }).meta({ id: 'OwnSession' });
const OwnSessions = z.object({ data: z.array(OwnSession) }).meta({ id: 'OwnSessions' });
const Me = Account.extend({
  sessionId: Id,
  roles: z.array(z.object({ id: Id, name: z.string(), isActive: z.boolean() })),
  permissions: z.array(z.string()),
}).meta({ id: 'Me' });

@ApiTags('auth')
@Controller('auth')
export class AuthHttp {
  constructor(@Inject(CALLS) private readonly calls: Calls) {}

  @Post('login')
  @Public({ limit: { name: 'login', share: 0.3 } })
  @Describe({
    summary: 'Sign in with e-mail address and password',
    description: 'One answer for an unknown address, a wrong password and a deactivated account.',
    response: Tokens,
    example: sample.tokens,
    request: { email: sample.account.email, password: sample.password },
    errors: ['invalid_credentials', 'login_locked'],
  })
  async login(
    @Body({ schema: LoginBody }) { email, password, device_token }: z.output<typeof LoginBody>,
    @Context() context: CallContext,
  ): Promise<z.output<typeof Tokens>> {
    const device = device_token === undefined ? {} : { deviceToken: device_token };
    const answer = await this.calls.call('identity.session.login.v1', { email, password, ...device }, context);
    const { deviceToken, ...tokens } = answer;
    return deviceToken === undefined ? tokens : { ...tokens, device_token: deviceToken };
  }

  @Post('refresh')
  @Public({ limit: { name: 'refresh', share: 0.6 } })
  @Describe({
    summary: 'Exchange a refresh token for new tokens',
    description:
      'A refresh token works once. Presenting one that was used before ends the session. A retry of a lost answer is safe with the same `Idempotency-Key` within 60 seconds.',
    response: Tokens,
    example: sample.tokens,
    request: { refresh_token: sample.tokens.refresh_token },
    errors: ['invalid_grant', 'bad_request'],
    headers: { 'Idempotency-Key': '8 to 128 visible ASCII characters; the same key gets the same answer' },
  })
  refresh(
    @Body({ schema: RefreshBody }) { refresh_token }: z.output<typeof RefreshBody>,
    @RetryKey() key: string | undefined,
    @Context() context: CallContext,
  ): Promise<z.output<typeof Tokens>> {
    const idempotency = key === undefined ? {} : { idempotencyKey: key };
    return this.calls.call('identity.session.refresh.v1', { refreshToken: refresh_token, ...idempotency }, context);
  }

  @Post('logout')
  @Authenticated()
  @Describe({ summary: 'End this session', status: 204 })
  async logout(@Caller() { id, sessionId }: Principal, @Context() context: CallContext): Promise<void> {
    await this.calls.call('identity.session.revoke.v1', { accountId: id, sessionId, reason: 'logout' }, context);
  }

  @Post('logout-all')
  @Authenticated()
  @Describe({ summary: 'End every session of the caller', status: 204 })
  async logoutAll(@Caller() { id }: Principal, @Context() context: CallContext): Promise<void> {
    await this.calls.call('identity.session.revoke_all.v1', { accountId: id, reason: 'logout_all' }, context);
  }

  @Get('sessions')
  @Authenticated()
  @Describe({
    summary: "List the caller's live sessions",
    response: OwnSessions,
    example: { data: [{ ...sample.session, current: true }] },
  })
  async sessions(
    @Caller() { id, sessionId }: Principal,
    @Context() context: CallContext,
  ): Promise<z.output<typeof OwnSessions>> {
    const { data } = await this.calls.call('identity.session.list.v1', { accountId: id }, context);
    return { data: data.map((session) => OwnSession.parse({ ...session, current: session.id === sessionId })) };
  }

  @Delete('sessions/:id')
  @Authenticated()
  @Describe({ summary: 'End one of the own sessions', status: 204, errors: ['not_found'] })
  async endSession(
    @Param('id', { schema: Id }) sessionId: string,
    @Caller() { id }: Principal,
    @Context() context: CallContext,
  ): Promise<void> {
    await this.calls.call('identity.session.revoke.v1', { accountId: id, sessionId, reason: 'revoked' }, context);
  }

  @Post('change-password')
  @Authenticated({ limit: { name: 'change-password', share: 0.01 } })
  @Describe({
    summary: 'Change the own password',
    description: 'Ends every session of the caller, this one too.',
    status: 204,
    request: { currentPassword: sample.password, newPassword: 'another long and private phrase' },
    errors: ['invalid_credentials', 'login_locked', 'password_rejected'],
  })
  async changePassword(
    @Body({ schema: ChangePasswordBody }) body: z.output<typeof ChangePasswordBody>,
    @Caller() { id }: Principal,
    @Context() context: CallContext,
  ): Promise<void> {
    await this.calls.call('identity.password.change.v1', { accountId: id, ...body }, context);
  }

  @Post('reset-password')
  @Public({ limit: { name: 'reset-password', share: 0.1 } })
  @Describe({
    summary: 'Set a new password with a one-time code',
    description: 'Ends every session of the user.',
    status: 204,
    request: { resetCode: 'a-code-that-is-shown-once', newPassword: sample.password },
    errors: ['reset_code_invalid', 'password_rejected'],
  })
  async resetPassword(
    @Body({ schema: ResetPasswordBody }) body: z.output<typeof ResetPasswordBody>,
    @Context() context: CallContext,
  ): Promise<void> {
    await this.calls.call('identity.password.reset.v1', body, context);
  }

  @Get('me')
  @Authenticated()
  @Describe({
    summary: 'Show the caller: account, roles and effective permissions',
    response: Me,
    example: {
      ...sample.account,
      sessionId: sample.session.id,
      roles: [sample.roleOfUser],
      permissions: ['users:view'],
    },
  })
  async me(@Caller() { id, sessionId }: Principal, @Context() context: CallContext): Promise<z.output<typeof Me>> {
    const [account, { roles, permissions }] = await Promise.all([
      this.calls.call('identity.account.get.v1', { id }, context),
      this.calls.call('rbac.principal.get.v1', { principalId: id }, context),
    ]);
    return { ...account, sessionId, roles, permissions };
  }
}
