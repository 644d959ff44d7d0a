import type { PageRequest } from '@prime-nest/contracts/page';
import type { Permission } from '@prime-nest/contracts/rbac';
import type { Queryable, Tx } from '@prime-nest/kit/database';
import { instantSql, readPage } from './catalog.store.js';

const from = `permission p JOIN feature f ON f.id = p.feature_id`;
const name = `f.name || ':' || p.action`;
const columns = `p.id, ${name} AS name, p.feature_id AS "featureId", p.action, p.description, p.version,
  ${instantSql('p.created_at')} AS "createdAt", ${instantSql('p.updated_at')} AS "updatedAt"`;

export async function listPermissions(
  database: Queryable,
  { featureId, ...page }: PageRequest & { featureId?: string | undefined },
): Promise<{ data: Permission[]; total: number }> {
  const filter = { sql: '($2::uuid IS NULL OR p.feature_id = $2)', value: featureId };
  return readPage<Permission>(
    database,
    { columns, from, searched: [name, 'p.description'], orderBy: 'f.name, p.action', filter },
    page,
  );
}

export async function findPermission(database: Queryable, id: string): Promise<Permission | undefined> {
  return (await database.query<Permission>(`SELECT ${columns} FROM ${from} WHERE p.id = $1`, [id]))[0];
}

/** Throws a unique violation of `permission_name_key` for an action that the feature has already. */
export async function insertPermission(
  tx: Tx,
  { id, featureId, action, description }: Pick<Permission, 'id' | 'featureId' | 'action' | 'description'>,
): Promise<Permission | undefined> {
  await tx.query(`INSERT INTO permission (id, feature_id, action, description) VALUES ($1, $2, $3, $4)`, [
    id,
    featureId,
    action,
    description,
  ]);
  return findPermission(tx, id);
}

export async function updatePermission(
  tx: Tx,
  { id, description }: Pick<Permission, 'id' | 'description'>,
): Promise<Permission | undefined> {
  await tx.query(
    `UPDATE permission SET description = $2, version = version + 1, updated_at = clock_timestamp() WHERE id = $1`,
    [id, description],
  );
  return findPermission(tx, id);
}

export async function deletePermission(tx: Tx, id: string): Promise<void> {
  await tx.query(`DELETE FROM permission WHERE id = $1`, [id]);
}
