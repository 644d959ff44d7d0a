import { AppError, type Violation } from '@prime-nest/contracts/errors';
import type { PolicySnapshot } from '../policy/snapshot.js';
import { assignmentsOf } from '../policy/snapshot.js';

export interface Assignment {
  readonly roleId: string;
  readonly expiresAtMs: number | null;
}

export interface Wish {
  readonly roleIds: readonly string[];
  readonly expiresAt?: Readonly<Record<string, string>> | undefined;
}

/**
 * The assignments that are asked for, each role once. Throws `reference_missing` for a role that does not exist and
 * `validation_failed` for an end that lies in the past or belongs to no role of the list.
 */
export function wantedAssignments(
  policy: PolicySnapshot,
  { roleIds, expiresAt = {} }: Wish,
  nowMs: number,
): Assignment[] {
  const wanted = new Set(roleIds);
  if ([...wanted].some((id) => !policy.roles.has(id))) throw new AppError('reference_missing');
  const violations: Violation[] = Object.entries(expiresAt).flatMap(([roleId, end]) => {
    if (!wanted.has(roleId)) return [{ pointer: `/expiresAt/${roleId}`, message: 'is not in roleIds' }];
    return Date.parse(end) > nowMs ? [] : [{ pointer: `/expiresAt/${roleId}`, message: 'must lie in the future' }];
  });
  if (violations.length > 0) throw new AppError('validation_failed', { details: { violations } });
  return [...wanted].map((roleId) => {
    const end = expiresAt[roleId];
    return { roleId, expiresAtMs: end === undefined ? null : Date.parse(end) };
  });
}

export function isSameAssignment(a: readonly Assignment[], b: readonly Assignment[]): boolean {
  const ends = new Map(a.map((one) => [one.roleId, one.expiresAtMs]));
  return a.length === b.length && b.every((one) => ends.get(one.roleId) === one.expiresAtMs);
}

export interface AssignedRole {
  readonly id: string;
  readonly name: string;
  readonly isActive: boolean;
  readonly expiresAt?: string;
}

/** The principal's roles for people to read, by name. */
export function assignedRoles(policy: PolicySnapshot, assignments: readonly Assignment[]): AssignedRole[] {
  return assignments
    .map(({ roleId, expiresAtMs }) => {
      const role = policy.roles.get(roleId);
      const end = expiresAtMs === null ? {} : { expiresAt: new Date(expiresAtMs).toISOString() };
      return { id: roleId, name: role?.name ?? '', isActive: role?.isActive ?? false, ...end };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function rolesOf(policy: PolicySnapshot, principalId: string): AssignedRole[] {
  return assignedRoles(policy, assignmentsOf(policy, principalId));
}
