import type { Revocation } from '@prime-nest/contracts/identity';
import type { Queryable, Tx } from '@prime-nest/kit/database';

export type NewRevocation =
  | { readonly kind: 'session'; readonly sessionId: string }
  | { readonly kind: 'epoch'; readonly accountId: string; readonly minEpoch: number };

export interface RevocationBatch {
  /** Of the last of `revocations`, which are numbered one by one up to it. */
  readonly sequence: number;
  readonly revocations: readonly Revocation[];
}

/**
 * Records revocations under the next sequences. They become visible with the transaction's commit, in order and
 * without a gap, because the head's lock is held until then: call it last.
 */
export async function appendRevocations(
  tx: Tx,
  revocations: readonly NewRevocation[],
  until: Date,
): Promise<RevocationBatch> {
  const [head] = await tx.query<{ sequence: string }>(
    'UPDATE revocation_head SET sequence = sequence + $1 RETURNING sequence',
    [revocations.length],
  );
  const sequence = Number(head?.sequence ?? 0);
  await tx.query(
    `INSERT INTO revocation (sequence, session_id, account_id, min_epoch, until)
     SELECT $1 + r.position, r.session_id, r.account_id, r.min_epoch, $3
     FROM ROWS FROM (jsonb_to_recordset($2::jsonb) AS (session_id uuid, account_id uuid, min_epoch int))
       WITH ORDINALITY AS r (session_id, account_id, min_epoch, position)`,
    [
      sequence - revocations.length,
      JSON.stringify(
        revocations.map((revocation) =>
          revocation.kind === 'session'
            ? { session_id: revocation.sessionId }
            : { account_id: revocation.accountId, min_epoch: revocation.minEpoch },
        ),
      ),
      until,
    ],
  );
  return { sequence, revocations: revocations.map((revocation) => ({ ...revocation, until: until.toISOString() })) };
}

interface RevocationRow {
  readonly head: string;
  readonly sessionId: string | null;
  readonly accountId: string | null;
  readonly minEpoch: number | null;
  readonly until: Date | null;
}

/** Every revocation that still matters and the head it belongs to, in one statement and so of one instant. */
export async function listRevocations(
  db: Queryable,
  now: Date,
): Promise<{ sequence: number; revocations: Revocation[] }> {
  const rows = await db.query<RevocationRow>(
    `SELECT h.sequence AS head, r.session_id AS "sessionId", r.account_id AS "accountId", r.min_epoch AS "minEpoch", r.until
     FROM revocation_head h LEFT JOIN revocation r ON r.until > $1 ORDER BY r.sequence`,
    [now],
  );
  return { sequence: Number(rows[0]?.head ?? 0), revocations: rows.flatMap(toRevocation) };
}

function toRevocation({ sessionId, accountId, minEpoch, until }: RevocationRow): Revocation[] {
  if (until === null) return [];
  if (sessionId !== null) return [{ kind: 'session', sessionId, until: until.toISOString() }];
  if (accountId === null || minEpoch === null) return [];
  return [{ kind: 'epoch', accountId, minEpoch, until: until.toISOString() }];
}

export async function revocationHead(db: Queryable): Promise<number> {
  const [row] = await db.query<{ sequence: string }>('SELECT sequence FROM revocation_head');
  return Number(row?.sequence ?? 0);
}
