import type { Check, Decision, DenyReason } from '@prime-nest/contracts/rbac';
import { hasBit } from './bitset.js';
import { isSeatActive, isSeatTimed, noSeat, slotOfSeat } from './principal-table.js';
import type { PolicySnapshot } from './snapshot.js';

const allow: Decision = Object.freeze({ effect: 'allow' });
const denials = Object.fromEntries(
  (['unknown_principal', 'principal_inactive', 'unknown_permission', 'feature_inactive', 'no_grant'] as const).map(
    (reason) => [reason, Object.freeze({ effect: 'deny', reason })],
  ),
) as Readonly<Record<DenyReason, Decision>>;

/**
 * Whether the principal may, by this snapshot, at `nowMs`. Allows only what an active role of an active principal
 * grants on an active feature, through an assignment that has not ended; everything else is a deny with its reason.
 * Pure and without allocation; whether the snapshot is fresh enough to be asked is the caller's affair.
 */
export function decide(snapshot: PolicySnapshot, { principalId, permission: name }: Check, nowMs: number): Decision {
  const seat = snapshot.principals.seatOf(principalId);
  if (seat === noSeat) return denials.unknown_principal;
  if (!isSeatActive(seat)) return denials.principal_inactive;
  const permission = snapshot.permissionsByName.get(name);
  if (permission === undefined) return denials.unknown_permission;
  if (!hasBit(snapshot.live, permission.index)) return denials.feature_inactive;
  if (snapshot.setGrants.has(slotOfSeat(seat), permission.index)) return allow;
  if (!isSeatTimed(seat)) return denials.no_grant;
  for (const { roleId, expiresAtMs } of snapshot.principals.timedOf(principalId)) {
    if (expiresAtMs <= nowMs) continue;
    const role = snapshot.roles.get(roleId);
    if (role?.isActive === true && hasBit(role.grants, permission.index)) return allow;
  }
  return denials.no_grant;
}
