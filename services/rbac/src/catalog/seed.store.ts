import type { Queryable, Tx } from '@prime-nest/kit/database';

export async function readAppliedItems(database: Queryable): Promise<Set<string>> {
  const rows = await database.query<{ name: string }>(`SELECT name FROM seed_item`);
  return new Set(rows.map(({ name }) => name));
}

/** Marks the item as applied. False when it was already: then nothing of it may be written again, ever. */
export async function markApplied(tx: Tx, name: string): Promise<boolean> {
  const rows = await tx.query(`INSERT INTO seed_item (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING name`, [name]);
  return rows.length > 0;
}
