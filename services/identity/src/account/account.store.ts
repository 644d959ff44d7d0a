import { AppError } from '@prime-nest/contracts/errors';
import { isUniqueViolation, type Prepared, type Queryable, type Tx } from '@prime-nest/kit/database';

/** A stored account with what only identity may know of it. */
export interface AccountRow {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly passwordHash: string;
  readonly credentialEpoch: number;
  readonly isActive: boolean;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

const columns = `id, email, name, password_hash AS "passwordHash", credential_epoch AS "credentialEpoch",
  is_active AS "isActive", created_at AS "createdAt", updated_at AS "updatedAt"`;

export async function findAccount(db: Queryable, id: string): Promise<AccountRow | undefined> {
  const rows = await db.query<AccountRow>(`SELECT ${columns} FROM account WHERE id = $1 AND deleted_at IS NULL`, [id]);
  return rows[0];
}

const byEmail: Prepared = {
  name: 'account.by_email',
  text: `SELECT ${columns} FROM account WHERE email = $1 AND deleted_at IS NULL`,
};

/** `email` as the contract normalizes it: trimmed, lower-case. */
export async function findAccountByEmail(db: Queryable, email: string): Promise<AccountRow | undefined> {
  return (await db.query<AccountRow>(byEmail, [email]))[0];
}

/**
 * The account, held until the transaction ends: nobody changes it, signs in to it or ends its sessions meanwhile.
 * Throws `not_found`.
 */
export async function lockAccount(tx: Tx, id: string): Promise<AccountRow> {
  const sql = `SELECT ${columns} FROM account WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE`;
  const [row] = await tx.query<AccountRow>(sql, [id]);
  if (row === undefined) throw new AppError('not_found');
  return row;
}

export interface AccountPage {
  readonly limit: number;
  readonly offset: number;
  readonly search?: string | undefined;
}

/** Oldest first. `search` matches anywhere in e-mail address or name, case-insensitively and literally. */
export async function listAccounts(
  db: Queryable,
  { limit, offset, search }: AccountPage,
): Promise<{ rows: AccountRow[]; total: number }> {
  const pattern = search === undefined ? null : `%${search.replace(/[\\%_]/g, '\\$&')}%`;
  const matches = `deleted_at IS NULL AND ($1::text IS NULL OR email ILIKE $1 OR name ILIKE $1)`;
  const [rows, count] = await Promise.all([
    db.query<AccountRow>(`SELECT ${columns} FROM account WHERE ${matches} ORDER BY created_at, id LIMIT $2 OFFSET $3`, [
      pattern,
      limit,
      offset,
    ]),
    db.query<{ total: number }>(`SELECT count(*)::int AS total FROM account WHERE ${matches}`, [pattern]),
  ]);
  return { rows, total: count[0]?.total ?? 0 };
}

export interface NewAccount {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly passwordHash: string;
  readonly now: Date;
}

/** Throws `email_taken` when an account with the address (or the id) exists. */
export async function insertAccount(tx: Tx, { id, email, name, passwordHash, now }: NewAccount): Promise<AccountRow> {
  try {
    const [row] = await tx.query<AccountRow>(
      `INSERT INTO account (id, email, name, password_hash, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5)
       RETURNING ${columns}`,
      [id, email, name, passwordHash, now],
    );
    if (row === undefined) throw new AppError('internal', { internal: { reason: 'an insert without a row' } });
    return row;
  } catch (error) {
    if (isUniqueViolation(error)) throw new AppError('email_taken', { cause: error });
    throw error;
  }
}

/** Whether the id was ever used, also by an account that is deleted now. */
export async function existedEver(db: Queryable, id: string): Promise<boolean> {
  return (await db.query('SELECT 1 FROM account WHERE id = $1', [id])).length > 0;
}

export interface AccountChange {
  readonly id: string;
  readonly name: string;
  readonly isActive: boolean;
  readonly credentialEpoch: number;
  readonly now: Date;
}

/** The account must be held by {@link lockAccount}. */
export async function updateAccount(
  tx: Tx,
  { id, name, isActive, credentialEpoch, now }: AccountChange,
): Promise<AccountRow> {
  const [row] = await tx.query<AccountRow>(
    `UPDATE account SET name = $2, is_active = $3, credential_epoch = $4, updated_at = $5 WHERE id = $1 RETURNING ${columns}`,
    [id, name, isActive, credentialEpoch, now],
  );
  if (row === undefined) throw new AppError('not_found');
  return row;
}

/** Soft: the row stays, its address becomes free. The account must be held by {@link lockAccount}. */
export async function markDeleted(tx: Tx, id: string, now: Date): Promise<void> {
  await tx.query(
    `UPDATE account SET is_active = false, credential_epoch = credential_epoch + 1, updated_at = $2, deleted_at = $2 WHERE id = $1`,
    [id, now],
  );
}

export interface NewPassword {
  readonly id: string;
  /** The epoch under which the right to change was proven. */
  readonly provenEpoch: number;
  readonly passwordHash: string;
  readonly now: Date;
}

/**
 * Sets the password and raises the credential epoch, in one statement and only if the epoch is still the proven one
 * and the account active. Answers the new epoch, or undefined when somebody was faster.
 */
export async function replacePassword(
  tx: Tx,
  { id, provenEpoch, passwordHash, now }: NewPassword,
): Promise<number | undefined> {
  const [row] = await tx.query<{ epoch: number }>(
    `UPDATE account SET password_hash = $3, credential_epoch = credential_epoch + 1, updated_at = $4
     WHERE id = $1 AND credential_epoch = $2 AND is_active AND deleted_at IS NULL
     RETURNING credential_epoch AS epoch`,
    [id, provenEpoch, passwordHash, now],
  );
  return row?.epoch;
}

/** Replaces a hash by a better one of the same password; does nothing if the password has changed meanwhile. */
export async function replaceHash(tx: Tx, id: string, old: string, fresh: string): Promise<void> {
  await tx.query('UPDATE account SET password_hash = $3 WHERE id = $1 AND password_hash = $2', [id, old, fresh]);
}
