import type { Prepared, Queryable, Tx } from '@prime-nest/kit/database';
import type { Consequence } from '@prime-nest/kit/outbox/outbox';
import { passing, passParams, type Charge } from '../account/lockout.store.js';

/** One redemption of a refresh token, as an incident quotes it. */
export interface RedemptionRecord {
  /** The generation that was presented. */
  readonly generation: number;
  readonly at: string;
  readonly ip: string | null;
  readonly userAgent: string | null;
  readonly correlationId: string;
}

export interface SessionState {
  readonly accountId: string;
  readonly credentialEpoch: number;
  readonly generation: number;
  readonly rotatedAt: Date;
  readonly retryKey: Buffer | null;
  readonly redemptions: readonly RedemptionRecord[];
  readonly idleExpiresAt: Date;
  readonly expiresAt: Date;
  readonly isLive: boolean;
  readonly isRevoked: boolean;
  /** The encrypted key that the session's refresh tokens are derived from. */
  readonly sealedKey: Buffer;
}

/** Not revoked, not expired, and the account still as it was at the sign-in. `$2` is now; `s` and `a` are joined. */
const isLive = `s.revoked_at IS NULL AND s.expires_at > $2 AND s.idle_expires_at > $2
  AND a.is_active AND a.deleted_at IS NULL AND a.credential_epoch = s.credential_epoch`;

const state = `s.account_id AS "accountId", s.credential_epoch AS "credentialEpoch", s.generation,
  s.rotated_at AS "rotatedAt", s.retry_key AS "retryKey", s.redemptions,
  s.idle_expires_at AS "idleExpiresAt", s.expires_at AS "expiresAt", s.sealed_key AS "sealedKey"`;

/** A change of one session, to be run together with its event. */
export interface Mutation {
  readonly mutation: Prepared;
  readonly params: readonly unknown[];
}

export interface NewSession {
  readonly id: string;
  readonly accountId: string;
  /** The epoch under which the password was verified. */
  readonly provenEpoch: number;
  readonly sealedKey: Buffer;
  readonly now: Date;
  readonly idleExpiresAt: Date;
  readonly expiresAt: Date;
  readonly ip: string | null;
  readonly userAgent: string | null;
}

const openSql: Prepared = {
  name: 'session.open',
  text: `INSERT INTO session (id, account_id, credential_epoch, sealed_key, created_at, rotated_at, idle_expires_at, expires_at, ip, user_agent)
   SELECT $1, holder.id, holder.credential_epoch, $4, $5, $5, $6, $7, $8, $9
   FROM (SELECT id, credential_epoch FROM account
         WHERE id = $2 AND credential_epoch = $3 AND is_active AND deleted_at IS NULL FOR NO KEY UPDATE) holder
   RETURNING id, (
     SELECT count(*)::int FROM session other
     WHERE other.account_id = $2 AND other.revoked_at IS NULL AND other.expires_at > $5 AND other.idle_expires_at > $5
   ) AS others`,
};

/**
 * Opens a session only if the credentials are still those that were verified, in one statement that also holds the
 * account until the transaction ends: a password change either comes before, and then nothing is inserted, or comes
 * after, and then finds the row and ends it. Returns a row if the session exists, with the number of `others` that were
 * live before the statement began.
 */
export function opening(session: NewSession): Mutation {
  return {
    mutation: openSql,
    params: [
      session.id,
      session.accountId,
      session.provenEpoch,
      session.sealedKey,
      session.now,
      session.idleExpiresAt,
      session.expiresAt,
      session.ip,
      session.userAgent,
    ],
  };
}

const openingConsequence: Consequence = passing(9);

/** {@link opening}, which also settles the attempt that it comes of: `isSettled` says whether its charge was there. */
export function openingOf(
  charge: Charge,
  askedAt: Date,
  session: NewSession,
): Mutation & { readonly consequence: Consequence } {
  const { mutation, params } = opening(session);
  return { mutation, consequence: openingConsequence, params: [...params, ...passParams(charge, askedAt)] };
}

export interface Rotation {
  readonly sessionId: string;
  readonly accountId: string;
  readonly presentedGeneration: number;
  readonly now: Date;
  readonly idleSeconds: number;
  readonly retryKey: Buffer | null;
  readonly redemption: RedemptionRecord;
}

/** Redemptions that a session remembers. */
const redemptionsMax = 8;

const rotateSql: Prepared = {
  name: 'session.rotate',
  text: `UPDATE session s SET
     generation = s.generation + 1, rotated_at = $2, retry_key = $5,
     idle_expires_at = LEAST($2::timestamptz + make_interval(secs => $4), s.expires_at),
     redemptions = (CASE WHEN jsonb_array_length(s.redemptions) >= ${redemptionsMax} THEN s.redemptions - 0 ELSE s.redemptions END)
       || $6::jsonb
   FROM account a
   WHERE s.id = $1 AND s.generation = $3 AND s.account_id = $7 AND a.id = $7 AND ${isLive}
   RETURNING ${state}, true AS "isLive", false AS "isRevoked"`,
};

/**
 * Takes the session to its next generation if it is live and at the presented one: of any number of callers with the
 * same token exactly one gets a row, the {@link SessionState}. The absolute expiry never moves.
 */
export function rotation({
  sessionId,
  accountId,
  now,
  presentedGeneration,
  idleSeconds,
  retryKey,
  redemption,
}: Rotation): Mutation {
  const redemptions = JSON.stringify([redemption]);
  return {
    mutation: rotateSql,
    params: [sessionId, now, presentedGeneration, idleSeconds, retryKey, redemptions, accountId],
  };
}

/** The session as it stands, held until the transaction ends. */
export async function lockSession(tx: Tx, sessionId: string, now: Date): Promise<SessionState | undefined> {
  const [row] = await tx.query<SessionState>(
    `SELECT ${state}, (${isLive}) AS "isLive", s.revoked_at IS NOT NULL AS "isRevoked"
     FROM session s JOIN account a ON a.id = s.account_id WHERE s.id = $1 FOR UPDATE OF s`,
    [sessionId, now],
  );
  return row;
}

/** Why a session ended, for its owner and for the record. */
export type EndReason =
  | 'logout'
  | 'revoked'
  | 'administrator'
  | 'logout_all'
  | 'reuse'
  | 'session_cap'
  | 'password_changed'
  | 'password_reset'
  | 'deactivated'
  | 'deleted';

/** Ends one session of the account. `ended` is false when it had ended before; undefined when there is none. */
export async function endSession(
  tx: Tx,
  { sessionId, accountId, reason, now }: { sessionId: string; accountId: string; reason: EndReason; now: Date },
): Promise<boolean | undefined> {
  const ended = await tx.query(
    `UPDATE session SET revoked_at = $3, revoked_reason = $4
     WHERE id = $1 AND account_id = $2 AND revoked_at IS NULL RETURNING id`,
    [sessionId, accountId, now, reason],
  );
  if (ended.length > 0) return true;
  const known = await tx.query('SELECT 1 FROM session WHERE id = $1 AND account_id = $2', [sessionId, accountId]);
  return known.length > 0 ? false : undefined;
}

/** Ends every session of the account that has not ended; answers those whose tokens might still be alive. */
export async function endAllSessions(tx: Tx, accountId: string, reason: EndReason, now: Date): Promise<string[]> {
  const rows = await tx.query<{ id: string; wasLive: boolean }>(
    `UPDATE session SET revoked_at = $2, revoked_reason = $3
     WHERE account_id = $1 AND revoked_at IS NULL RETURNING id, expires_at > $2 AND idle_expires_at > $2 AS "wasLive"`,
    [accountId, now, reason],
  );
  return rows.filter(({ wasLive }) => wasLive).map(({ id }) => id);
}

const surplusSql: Prepared = {
  name: 'session.end_surplus',
  text: `UPDATE session SET revoked_at = $3, revoked_reason = 'session_cap'
   WHERE id IN (
     SELECT id FROM session
     WHERE account_id = $1 AND revoked_at IS NULL AND expires_at > $3 AND idle_expires_at > $3
     ORDER BY rotated_at DESC, id DESC OFFSET $2)
   RETURNING id`,
};

/** Ends the least recently used sessions beyond `max`. The account must be held, or two sign-ins may both count short. */
export async function endSurplusSessions(tx: Tx, accountId: string, max: number, now: Date): Promise<string[]> {
  return (await tx.query<{ id: string }>(surplusSql, [accountId, max, now])).map(({ id }) => id);
}

export interface SessionRow {
  readonly id: string;
  readonly accountId: string;
  readonly ip: string | null;
  readonly userAgent: string | null;
  readonly createdAt: Date;
  readonly lastUsedAt: Date;
  readonly expiresAt: Date;
}

/** The live sessions of the account, most recently used first. */
export async function listSessions(db: Queryable, accountId: string, now: Date): Promise<SessionRow[]> {
  return db.query<SessionRow>(
    `SELECT s.id, s.account_id AS "accountId", s.ip, s.user_agent AS "userAgent", s.created_at AS "createdAt",
       s.rotated_at AS "lastUsedAt", s.idle_expires_at AS "expiresAt"
     FROM session s JOIN account a ON a.id = s.account_id
     WHERE s.account_id = $1 AND ${isLive} ORDER BY s.rotated_at DESC, s.id DESC`,
    [accountId, now],
  );
}
