import type { PublicKey } from '@prime-nest/contracts/claims';
import type { Queryable, Tx } from '@prime-nest/kit/database';
import type { KeyState } from './key-ring.js';

export interface KeyRow {
  readonly kid: string;
  readonly state: KeyState;
  readonly origin: 'imported' | 'generated';
  readonly publicKey: PublicKey;
  readonly sealedPrivateKey: Buffer | null;
  readonly stateSince: Date;
}

const columns = `kid, state, origin, public_jwk AS "publicKey", sealed_private_key AS "sealedPrivateKey", state_since AS "stateSince"`;

/** Every key that still does something, oldest state first. */
export async function listLiveKeys(db: Queryable): Promise<KeyRow[]> {
  return db.query<KeyRow>(
    `SELECT ${columns} FROM signing_key WHERE state IN ('pending', 'active', 'retiring') ORDER BY state_since, kid`,
  );
}

/** The newest 100 by state change, whatever their state. */
export async function listAllKeys(db: Queryable): Promise<KeyRow[]> {
  return db.query<KeyRow>(`SELECT ${columns} FROM signing_key ORDER BY state_since DESC, kid LIMIT 100`);
}

export async function findKey(db: Queryable, kid: string): Promise<KeyRow | undefined> {
  return (await db.query<KeyRow>(`SELECT ${columns} FROM signing_key WHERE kid = $1`, [kid]))[0];
}

/** One replica at a time changes keys: waits for the others, until the end of the transaction. */
export async function lockKeys(tx: Tx): Promise<void> {
  await tx.query(`SELECT pg_advisory_xact_lock(hashtextextended('identity.signing_key', 0))`);
}

export interface NewKey {
  readonly publicKey: PublicKey;
  readonly sealedPrivateKey: Buffer;
  readonly origin: 'imported' | 'generated';
  readonly state: 'pending' | 'active';
  readonly now: Date;
}

/** Keys must be held by {@link lockKeys}. */
export async function insertKey(tx: Tx, { publicKey, sealedPrivateKey, origin, state, now }: NewKey): Promise<void> {
  await tx.query(
    `INSERT INTO signing_key (kid, state, origin, public_jwk, sealed_private_key, created_at, state_since)
     VALUES ($1, $2, $3, $4, $5, $6, $6)`,
    [publicKey.kid, state, origin, JSON.stringify(publicKey), sealedPrivateKey, now],
  );
}

/** A key that signs no more loses its private half. Keys must be held by {@link lockKeys}. */
export async function moveKey(tx: Tx, kid: string, state: Exclude<KeyState, 'pending'>, now: Date): Promise<void> {
  await tx.query(
    `UPDATE signing_key SET state = $2, state_since = $3,
       sealed_private_key = CASE WHEN $2 = 'active' THEN sealed_private_key END
     WHERE kid = $1`,
    [kid, state, now],
  );
}
