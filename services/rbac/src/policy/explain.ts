import type { Check, Decision } from '@prime-nest/contracts/rbac';
import { hasBit } from './bitset.js';
import { decide } from './decide.js';
import { type PolicySnapshot, assignmentsOf } from './snapshot.js';

export interface Explanation {
  readonly revision: number;
  readonly decision: Decision;
  readonly grantedBy: { roleId: string; roleName: string }[];
  readonly notGrantedBy: { roleId: string; roleName: string; reason: 'role_inactive' | 'no_grant' | 'expired' }[];
}

/**
 * The decision and each role of the principal on its side of it. Recomputed from the snapshot that decides, so the
 * two cannot disagree: `grantedBy` is what would grant, also when the principal or the feature is inactive.
 */
export function explain(snapshot: PolicySnapshot, check: Check, nowMs: number): Explanation {
  const permission = snapshot.permissionsByName.get(check.permission);
  const grantedBy: Explanation['grantedBy'] = [];
  const notGrantedBy: Explanation['notGrantedBy'] = [];
  for (const { roleId, expiresAtMs } of assignmentsOf(snapshot, check.principalId)) {
    const role = snapshot.roles.get(roleId);
    if (role === undefined) continue;
    const names = { roleId, roleName: role.name };
    if (permission === undefined || !hasBit(role.grants, permission.index))
      notGrantedBy.push({ ...names, reason: 'no_grant' });
    else if (!role.isActive) notGrantedBy.push({ ...names, reason: 'role_inactive' });
    else if (expiresAtMs !== null && expiresAtMs <= nowMs) notGrantedBy.push({ ...names, reason: 'expired' });
    else grantedBy.push(names);
  }
  return { revision: snapshot.revision, decision: decide(snapshot, check, nowMs), grantedBy, notGrantedBy };
}
