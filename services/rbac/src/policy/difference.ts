import { isEmpty, members, minus } from './bitset.js';
import type { PrincipalEntry } from './principal-table.js';
import { type PolicySnapshot, effectiveBits } from './snapshot.js';

export interface Pair {
  readonly principalId: string;
  readonly permission: string;
}

export interface Difference {
  readonly gained: Pair[];
  readonly lost: Pair[];
}

/** Exactly the (principal, permission) pairs that are allowed at `nowMs` by one snapshot and not by the other. */
export function difference(before: PolicySnapshot, after: PolicySnapshot, nowMs: number): Difference {
  const gained: Pair[] = [];
  const lost: Pair[] = [];
  const collect = (into: Pair[], principalId: string, snapshots: { has: PolicySnapshot; lacks: PolicySnapshot }) => {
    const bits = (snapshot: PolicySnapshot) => effectiveBits(snapshot, snapshot.principals.get(principalId), nowMs);
    const extra = minus(bits(snapshots.has), bits(snapshots.lacks));
    if (isEmpty(extra)) return;
    for (const index of members(extra)) {
      const permission = snapshots.has.permissionAt[index];
      if (permission !== undefined) into.push({ principalId, permission: permission.name });
    }
  };
  const isSame = sameDecisions(before, after);
  for (const [principalId, entry] of after.principals.entries()) {
    if (isSame(entry, before.principals.get(principalId))) continue;
    collect(gained, principalId, { has: after, lacks: before });
    collect(lost, principalId, { has: before, lacks: after });
  }
  return { gained, lost };
}

/** Whether a principal, by what it points to alone, cannot have gained or lost anything. */
function sameDecisions(before: PolicySnapshot, after: PolicySnapshot) {
  const isLiveSame = before.live.length === after.live.length && before.live.every((word, i) => word === after.live[i]);
  return (entry: PrincipalEntry, old: PrincipalEntry | undefined): boolean =>
    isLiveSame &&
    entry.isActive === old?.isActive &&
    entry.slot === old.slot &&
    entry.timed.length + old.timed.length === 0 &&
    after.setGrants.isSame(entry.slot, before.setGrants);
}
