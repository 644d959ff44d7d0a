import type { Effect } from '@prime-nest/contracts/rbac';
import type { FastifyReply } from 'fastify';

export const dryRunText =
  'With `dryRun=true` nothing is written: the answer says in `preview` who would gain and lose which permission.';

/** Tells at which policy revision a mutation took effect: decisions made from now on see it. */
export function showEffect(reply: FastifyReply, { revision, effective }: Effect): void {
  if (effective === 'all') reply.header('x-revision', String(revision));
}

/** The version of a resource as a strong entity tag, to be sent back in `If-Match`. */
export function showVersion(reply: FastifyReply, { version }: { readonly version: number }): void {
  reply.header('etag', `"${version}"`);
}

export function showLocation(reply: FastifyReply, path: string): void {
  reply.header('location', path);
}
