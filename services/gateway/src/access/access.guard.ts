import type { CanActivate, ExecutionContext } from '@nestjs/common';
import { AppError } from '@prime-nest/contracts/errors';
import type { Check } from '@prime-nest/contracts/rbac';
import type { FastifyRequest } from 'fastify';
import type { RequestState } from '../http/request-state.js';
import type { Authentication } from './authenticator.js';
import { requireAllow } from './decide.command.js';
import type { Decided } from './decide.command.js';
import { isSameAccess } from './principal.js';
import type { Principal, RouteAccess } from './principal.js';
import { accessOf } from './route-access.decorator.js';

export interface AdmitOptions {
  readonly access: RouteAccess | undefined;
  readonly authentication: Authentication | undefined;
  /** What rbac says about {@link checkOf} the two. */
  readonly decided: Promise<Decided> | undefined;
}

/**
 * What rbac must be asked before a request is admitted; nothing for a caller who is not known, and where no permission is
 * needed.
 */
export function checkOf(
  access: RouteAccess | undefined,
  authentication: Authentication | undefined,
): Check | undefined {
  if (access?.kind !== 'permission' || authentication?.failure !== undefined) return undefined;
  const principal = authentication?.principal;
  return principal === undefined ? undefined : { principalId: principal.id, permission: access.permission };
}

/**
 * Lets a request through to a route, or throws: `internal` for a route that declares nothing, the reason the caller
 * is not known, `forbidden` for rbac's deny, `unavailable` when anything that must be known is not. Runs before the
 * body is read, so that strangers cannot make us parse.
 */
export async function admit({ access, authentication, decided }: AdmitOptions): Promise<Principal | undefined> {
  if (access === undefined) throw new AppError('internal', { internal: { reason: 'the route declares no access' } });
  if (access.kind === 'public') return undefined;
  if (authentication?.failure !== undefined) throw authentication.failure;
  const principal = authentication?.principal;
  if (principal === undefined) throw new AppError('token_missing');
  if (access.kind === 'permission') {
    if (decided === undefined) throw new AppError('internal', { internal: { reason: 'rbac was not asked' } });
    requireAllow(await decided);
  }
  return principal;
}

/**
 * The second lock on the same door: a handler runs only if {@link admit} has let this very request through for the
 * access that this very handler declares. It holds when a route is reached some way that the hooks did not see.
 */
export class AccessGuard implements CanActivate {
  canActivate(execution: ExecutionContext): boolean {
    const declared = accessOf(execution.getHandler());
    const state = execution.switchToHttp().getRequest<FastifyRequest & { state?: RequestState }>().state;
    if (declared === undefined || state?.admittedFor === undefined || !isSameAccess(declared, state.admittedFor)) {
      throw new AppError('internal', { internal: { reason: 'the request was not admitted for this handler' } });
    }
    return true;
  }
}
