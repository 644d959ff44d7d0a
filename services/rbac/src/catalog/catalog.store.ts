import type { PageRequest } from '@prime-nest/contracts/page';
import type { Queryable } from '@prime-nest/kit/database';

/** How a stored instant is shown: RFC 3339, UTC, milliseconds. */
export const instantSql = (column: string) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

export interface ListQuery {
  /** Column list. */
  readonly columns: string;
  /** What follows FROM. */
  readonly from: string;
  /** Text expressions that `search` looks into. */
  readonly searched: readonly string[];
  readonly orderBy: string;
  /** A further condition on `$2`. */
  readonly filter?: { readonly sql: string; readonly value: unknown };
}

/** One page and how many there are in all. `search` matches literally: it is no pattern. */
export async function readPage<T>(
  database: Queryable,
  { columns, from, searched, orderBy, filter }: ListQuery,
  { limit, offset, search }: PageRequest,
): Promise<{ data: T[]; total: number }> {
  const matches = searched.map((text) => `strpos(lower(${text}), lower($1)) > 0`).join(' OR ');
  const where = `($1::text IS NULL OR ${matches}) AND ${filter?.sql ?? '$2::text IS NULL'}`;
  const params = [search ?? null, filter?.value ?? null];
  const data = await database.query<T>(
    `SELECT ${columns} FROM ${from} WHERE ${where} ORDER BY ${orderBy} LIMIT $3 OFFSET $4`,
    [...params, limit, offset],
  );
  const [row] = await database.query<{ total: number }>(
    `SELECT count(*)::integer AS total FROM ${from} WHERE ${where}`,
    params,
  );
  return { data, total: row?.total ?? 0 };
}
