import { Controller, Inject } from '@nestjs/common';
import type { CallContext } from '@prime-nest/contracts/context';
import { identityRpc } from '@prime-nest/contracts/identity';
import type { RpcParsed } from '@prime-nest/contracts/rpc';
import { createRpc } from '@prime-nest/kit/bus/rpc';
import { EndSessions } from './end-sessions.command.js';
import { Login } from './login.command.js';
import { ReadSessions } from './read-sessions.command.js';
import { Refresh } from './refresh.command.js';

const Rpc = createRpc(identityRpc);
type Asked<S extends keyof typeof identityRpc> = RpcParsed<typeof identityRpc, S>;

@Controller()
export class SessionRpc {
  constructor(
    @Inject(Login) private readonly signIn: Login,
    @Inject(Refresh) private readonly rotation: Refresh,
    @Inject(ReadSessions) private readonly reading: ReadSessions,
    @Inject(EndSessions) private readonly ending: EndSessions,
  ) {}

  @Rpc('identity.session.login.v1')
  login(request: Asked<'identity.session.login.v1'>, context: CallContext) {
    return this.signIn.run(request, context);
  }

  @Rpc('identity.session.refresh.v1')
  refresh(request: Asked<'identity.session.refresh.v1'>, context: CallContext) {
    return this.rotation.run(request, context);
  }

  @Rpc('identity.session.list.v1')
  list({ accountId }: Asked<'identity.session.list.v1'>) {
    return this.reading.list(accountId);
  }

  @Rpc('identity.session.revoke.v1')
  async revoke(request: Asked<'identity.session.revoke.v1'>, context: CallContext) {
    await this.ending.one(request, context);
    return {};
  }

  @Rpc('identity.session.revoke_all.v1')
  async revokeAll(request: Asked<'identity.session.revoke_all.v1'>, context: CallContext) {
    return { revoked: await this.ending.all(request, context) };
  }
}
