import type { PageRequest } from '@prime-nest/contracts/page';
import type { Role, RoleWithPermissions } from '@prime-nest/contracts/rbac';
import type { Queryable, Tx } from '@prime-nest/kit/database';
import { instantSql, readPage } from './catalog.store.js';

const columns = `id, name, description, is_active AS "isActive", receives_new AS "receivesNewPermissions", version,
  ${instantSql('created_at')} AS "createdAt", ${instantSql('updated_at')} AS "updatedAt"`;

export async function listRoles(database: Queryable, page: PageRequest): Promise<{ data: Role[]; total: number }> {
  return readPage<Role>(
    database,
    { columns, from: 'role', searched: ['name', 'description'], orderBy: 'lower(name)' },
    page,
  );
}

export async function findRole(database: Queryable, id: string): Promise<RoleWithPermissions | undefined> {
  const rows = await database.query<RoleWithPermissions>(
    `SELECT ${columns},
            coalesce((SELECT json_agg(json_build_object('id', p.id, 'name', f.name || ':' || p.action)
                                      ORDER BY f.name, p.action)
                        FROM role_permission rp JOIN permission p ON p.id = rp.permission_id
                        JOIN feature f ON f.id = p.feature_id
                       WHERE rp.role_id = role.id), '[]') AS permissions
       FROM role WHERE id = $1`,
    [id],
  );
  return rows[0];
}

/** Throws a unique violation of `role_name_key` for a name that is taken, in whatever case. */
export async function insertRole(
  tx: Tx,
  role: Pick<Role, 'id' | 'name' | 'description' | 'isActive' | 'receivesNewPermissions'>,
): Promise<Role | undefined> {
  const rows = await tx.query<Role>(
    `INSERT INTO role (id, name, description, is_active, receives_new) VALUES ($1, $2, $3, $4, $5) RETURNING ${columns}`,
    [role.id, role.name, role.description, role.isActive, role.receivesNewPermissions],
  );
  return rows[0];
}

export async function updateRole(
  tx: Tx,
  { id, name, description, isActive }: Pick<Role, 'id' | 'name' | 'description' | 'isActive'>,
): Promise<Role | undefined> {
  const rows = await tx.query<Role>(
    `UPDATE role SET name = $2, description = $3, is_active = $4, version = version + 1, updated_at = clock_timestamp()
      WHERE id = $1 RETURNING ${columns}`,
    [id, name, description, isActive],
  );
  return rows[0];
}

/** Takes the role's own grants with it; an assignment of it makes this fail. */
export async function deleteRole(tx: Tx, id: string): Promise<void> {
  await tx.query(`DELETE FROM role_permission WHERE role_id = $1`, [id]);
  await tx.query(`DELETE FROM role WHERE id = $1`, [id]);
}

export interface GrantChange {
  readonly roleId: string;
  readonly granted: readonly string[];
  readonly revoked: readonly string[];
}

/** Changes what the role grants and raises its version. */
export async function changeGrants(tx: Tx, { roleId, granted, revoked }: GrantChange): Promise<void> {
  await tx.query(`DELETE FROM role_permission WHERE role_id = $1 AND permission_id = ANY($2::uuid[])`, [
    roleId,
    revoked,
  ]);
  await tx.query(`INSERT INTO role_permission (role_id, permission_id) SELECT $1, unnest($2::uuid[])`, [
    roleId,
    granted,
  ]);
  await tx.query(`UPDATE role SET version = version + 1, updated_at = clock_timestamp() WHERE id = $1`, [roleId]);
}

/** How many principals hold the role now. */
export async function countHolders(tx: Tx, roleId: string): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    `SELECT count(*)::integer AS count FROM principal_role
      WHERE role_id = $1 AND (expires_at IS NULL OR expires_at > clock_timestamp())`,
    [roleId],
  );
  return row?.count ?? 0;
}

/** Removes assignments of the role that have ended, and answers whose they were. */
export async function removeEndedAssignments(tx: Tx, roleId: string): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(
    `DELETE FROM principal_role WHERE role_id = $1 AND expires_at <= clock_timestamp() RETURNING principal_id AS id`,
    [roleId],
  );
  return rows.map(({ id }) => id);
}

/** Roles that grant the permission; those that receive every new one stand apart. */
export async function findGranting(tx: Tx, permissionId: string): Promise<{ id: string; receivesNew: boolean }[]> {
  return tx.query<{ id: string; receivesNew: boolean }>(
    `SELECT r.id, r.receives_new AS "receivesNew"
       FROM role_permission rp JOIN role r ON r.id = rp.role_id WHERE rp.permission_id = $1`,
    [permissionId],
  );
}
