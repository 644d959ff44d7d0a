import type { Queryable, Tx } from '@prime-nest/kit/database';

export interface NewReset {
  readonly codeHash: Buffer;
  readonly accountId: string;
  readonly credentialEpoch: number;
  readonly now: Date;
  readonly expiresAt: Date;
}

/** The account's one open reset: an earlier one that was not used is void from here on. */
export async function insertReset(
  tx: Tx,
  { codeHash, accountId, credentialEpoch, now, expiresAt }: NewReset,
): Promise<void> {
  await tx.query('DELETE FROM password_reset WHERE account_id = $1 AND used_at IS NULL', [accountId]);
  await tx.query(
    `INSERT INTO password_reset (code_hash, account_id, credential_epoch, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)`,
    [codeHash, accountId, credentialEpoch, now, expiresAt],
  );
}

export interface OpenReset {
  readonly accountId: string;
  readonly credentialEpoch: number;
  readonly email: string;
}

/** A reset that could be used at `now`: unused, not expired, and the account as it was when it was issued. */
export async function findOpenReset(db: Queryable, codeHash: Buffer, now: Date): Promise<OpenReset | undefined> {
  const [row] = await db.query<OpenReset>(
    `SELECT r.account_id AS "accountId", r.credential_epoch AS "credentialEpoch", a.email
     FROM password_reset r JOIN account a ON a.id = r.account_id
     WHERE r.code_hash = $1 AND r.used_at IS NULL AND r.expires_at > $2
       AND a.is_active AND a.deleted_at IS NULL AND a.credential_epoch = r.credential_epoch`,
    [codeHash, now],
  );
  return row;
}

/** Uses the code up: of any number of callers at once one is answered true. */
export async function consumeReset(tx: Tx, codeHash: Buffer, now: Date): Promise<boolean> {
  const rows = await tx.query(
    'UPDATE password_reset SET used_at = $2 WHERE code_hash = $1 AND used_at IS NULL AND expires_at > $2 RETURNING 1',
    [codeHash, now],
  );
  return rows.length === 1;
}
