import { z } from 'zod';

const Id = z.string();

/**
 * One step of a change of the policy, as the changelog keeps it: enough to bring a snapshot of the revision before
 * to the revision after, and nothing that decisions do not depend on.
 */
export const DeltaStep = z.discriminatedUnion('op', [
  z.object({ op: z.literal('feature.put'), id: Id, name: z.string(), isActive: z.boolean() }),
  z.object({ op: z.literal('feature.delete'), id: Id }),
  z.object({ op: z.literal('permission.put'), id: Id, featureId: Id, action: z.string() }),
  z.object({ op: z.literal('permission.delete'), id: Id }),
  z.object({
    op: z.literal('role.put'),
    id: Id,
    name: z.string(),
    isActive: z.boolean(),
    receivesNew: z.boolean(),
  }),
  z.object({ op: z.literal('role.delete'), id: Id }),
  z.object({ op: z.literal('role.grant'), id: Id, permissionIds: z.array(Id) }),
  z.object({ op: z.literal('role.revoke'), id: Id, permissionIds: z.array(Id) }),
  /** The principal as it is from now on; roles that are not named are gone. */
  z.object({
    op: z.literal('principal.put'),
    id: Id,
    isActive: z.boolean(),
    roles: z.array(z.object({ id: Id, expiresAtMs: z.number().nullable() })),
  }),
]);
export type DeltaStep = z.infer<typeof DeltaStep>;

export const Delta = z.array(DeltaStep);
export type Delta = readonly DeltaStep[];

export interface Revised {
  readonly revision: number;
  readonly delta: Delta;
}
