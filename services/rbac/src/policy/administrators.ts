import { type Bitset, bitsetOf, isSubset } from './bitset.js';
import type { PolicySnapshot } from './snapshot.js';

/** Everything that manages access. Who holds all of it can undo any mistake, so somebody always has to. */
export const administratorPermissions = [
  'rbac:view',
  'rbac:create',
  'rbac:edit',
  'rbac:delete',
  'rbac:assign_permissions',
  'users:view',
  'users:edit',
  'users:assign_roles',
] as const;

/**
 * Whether an administrator exists: an active principal that may do all of {@link administratorPermissions}, through
 * active roles assigned without an end, on active features. An assignment that ends does not count: when it does,
 * nobody would be left, and no mutation would have been there to refuse it.
 */
export function hasAdministrator(snapshot: PolicySnapshot): boolean {
  const needed = administratorBits(snapshot);
  if (needed === undefined || !isSubset(needed, snapshot.live)) return false;
  return snapshot.sets.some(
    (set, slot) => set !== undefined && set.activeHolderCount > 0 && snapshot.setGrants.holds(slot, needed),
  );
}

function administratorBits(snapshot: PolicySnapshot): Bitset | undefined {
  const indexes = administratorPermissions.map((name) => snapshot.permissionsByName.get(name)?.index);
  return indexes.includes(undefined) ? undefined : bitsetOf(indexes.map((index) => index ?? 0));
}
