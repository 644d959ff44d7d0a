import type { PageRequest } from '@prime-nest/contracts/page';
import type { Feature } from '@prime-nest/contracts/rbac';
import type { Queryable, Tx } from '@prime-nest/kit/database';
import { instantSql, readPage } from './catalog.store.js';

const columns = `id, name, description, is_active AS "isActive", version,
  ${instantSql('created_at')} AS "createdAt", ${instantSql('updated_at')} AS "updatedAt"`;

export async function listFeatures(
  database: Queryable,
  page: PageRequest,
): Promise<{ data: Feature[]; total: number }> {
  return readPage<Feature>(
    database,
    { columns, from: 'feature', searched: ['name', 'description'], orderBy: 'name' },
    page,
  );
}

export async function findFeature(database: Queryable, id: string): Promise<Feature | undefined> {
  return (await database.query<Feature>(`SELECT ${columns} FROM feature WHERE id = $1`, [id]))[0];
}

/** Throws a unique violation of `feature_name_key` for a name that is taken. */
export async function insertFeature(
  tx: Tx,
  { id, name, description, isActive }: Pick<Feature, 'id' | 'name' | 'description' | 'isActive'>,
): Promise<Feature | undefined> {
  const rows = await tx.query<Feature>(
    `INSERT INTO feature (id, name, description, is_active) VALUES ($1, $2, $3, $4) RETURNING ${columns}`,
    [id, name, description, isActive],
  );
  return rows[0];
}

export async function updateFeature(
  tx: Tx,
  { id, description, isActive }: Pick<Feature, 'id' | 'description' | 'isActive'>,
): Promise<Feature | undefined> {
  const rows = await tx.query<Feature>(
    `UPDATE feature SET description = $2, is_active = $3, version = version + 1, updated_at = clock_timestamp()
      WHERE id = $1 RETURNING ${columns}`,
    [id, description, isActive],
  );
  return rows[0];
}

export async function deleteFeature(tx: Tx, id: string): Promise<void> {
  await tx.query(`DELETE FROM feature WHERE id = $1`, [id]);
}

export async function countPermissionsOf(tx: Tx, featureId: string): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    `SELECT count(*)::integer AS count FROM permission WHERE feature_id = $1`,
    [featureId],
  );
  return row?.count ?? 0;
}
