import type { Tx } from '@prime-nest/kit/database';

export interface StoredAssignment {
  readonly roleId: string;
  /** RFC 3339, or null for no end. */
  readonly expiresAt: string | null;
}

/** Creates the principal when it is new to the policy; sets its state. */
export async function putPrincipal(tx: Tx, principalId: string, isActive: boolean): Promise<void> {
  await tx.query(
    `INSERT INTO principal (id, is_active) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET is_active = excluded.is_active`,
    [principalId, isActive],
  );
}

/** The principal holds exactly these roles afterwards. Throws a foreign key violation for a role that does not exist. */
export async function replaceAssignments(
  tx: Tx,
  principalId: string,
  assignments: readonly StoredAssignment[],
): Promise<void> {
  await tx.query(`DELETE FROM principal_role WHERE principal_id = $1`, [principalId]);
  await tx.query(
    `INSERT INTO principal_role (principal_id, role_id, expires_at)
     SELECT $1, role_id, expires_at FROM unnest($2::uuid[], $3::timestamptz[]) AS given (role_id, expires_at)`,
    [principalId, assignments.map((one) => one.roleId), assignments.map((one) => one.expiresAt)],
  );
}
