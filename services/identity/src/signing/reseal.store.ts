import type { Queryable } from '@prime-nest/kit/database';

export interface SealedRow {
  readonly id: string;
  readonly sealed: Buffer;
}

const rowsMax = 500;

/** Some of the session keys that do not begin with `prefix`, in the order of their ids, after `after`. */
export async function sessionsSealedOtherwise(db: Queryable, prefix: Buffer, after: string): Promise<SealedRow[]> {
  return db.query<SealedRow>(
    `SELECT id, sealed_key AS sealed FROM session
     WHERE id > $2 AND substring(sealed_key FROM 1 FOR octet_length($1::bytea)) <> $1::bytea ORDER BY id LIMIT ${rowsMax}`,
    [prefix, after],
  );
}

/** Replaces what was read, and nothing else. */
export async function replaceSessionKey(db: Queryable, { id, sealed }: SealedRow, fresh: Buffer): Promise<void> {
  await db.query('UPDATE session SET sealed_key = $3 WHERE id = $1 AND sealed_key = $2', [id, sealed, fresh]);
}

/** The private signing keys that do not begin with `prefix`. */
export async function signingKeysSealedOtherwise(db: Queryable, prefix: Buffer): Promise<SealedRow[]> {
  return db.query<SealedRow>(
    `SELECT kid AS id, sealed_private_key AS sealed FROM signing_key
     WHERE sealed_private_key IS NOT NULL AND substring(sealed_private_key FROM 1 FOR octet_length($1::bytea)) <> $1::bytea`,
    [prefix],
  );
}

/** Replaces what was read, and nothing else: a key that has lost its private half meanwhile does not get it back. */
export async function replaceSigningKey(db: Queryable, { id, sealed }: SealedRow, fresh: Buffer): Promise<void> {
  await db.query('UPDATE signing_key SET sealed_private_key = $3 WHERE kid = $1 AND sealed_private_key = $2', [
    id,
    sealed,
    fresh,
  ]);
}
