import type { Revocation } from '@prime-nest/contracts/identity';
import type { Queryable, Tx } from '@prime-nest/kit/database';
import type { LeaseLeft } from '@prime-nest/kit/member-barrier';
import { liveMembersSql, toLeases } from './gateway-member.store.js';

export type NewRevocation =
  | { readonly kind: 'session'; readonly sessionId: string }
  | { readonly kind: 'epoch'; readonly accountId: string; readonly minEpoch: number };

export interface RevocationBatch {
  /** Of the last of `revocations`, which are numbered one by one up to it. */
  readonly sequence: number;
  readonly revocations: readonly Revocation[];
}

export interface AppendedRevocations extends RevocationBatch {
  /** The gateways that may not know: read under the head's lock, so leases that begin later begin at this sequence. */
  readonly leases: readonly LeaseLeft[];
}

/**
 * Records revocations under the next sequences. They become visible with the transaction's commit, in order and
 * without a gap, because the head's lock is held until then: call it last. While it is held no gateway can renew its
 * lease, so a pause of the holder ends the transaction long before a lease could.
 */
export async function appendRevocations(
  tx: Tx,
  revocations: readonly NewRevocation[],
  until: Date,
): Promise<AppendedRevocations> {
  const [head] = await tx.query<{ sequence: string }>(
    `UPDATE revocation_head SET sequence = sequence + $1
     RETURNING sequence, set_config('idle_in_transaction_session_timeout', '500', true),
       set_config('statement_timeout', '1000', true)`,
    [revocations.length],
  );
  const sequence = Number(head?.sequence ?? 0);
  // A statement of its own: one that waits for the lock has taken its snapshot before it waited.
  const live = await tx.query<{ id: string; left: string }>(
    `WITH added AS (
       INSERT INTO revocation (sequence, session_id, account_id, min_epoch, until)
       SELECT $1 + r.position, r.session_id, r.account_id, r.min_epoch, $3
       FROM ROWS FROM (jsonb_to_recordset($2::jsonb) AS (session_id uuid, account_id uuid, min_epoch int))
         WITH ORDINALITY AS r (session_id, account_id, min_epoch, position))
     ${liveMembersSql}`,
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
  return {
    sequence,
    revocations: revocations.map((revocation) => ({ ...revocation, until: until.toISOString() })),
    leases: toLeases(live),
  };
}

interface RevocationRow {
  readonly head: string;
  readonly sequence: string | null;
  readonly sessionId: string | null;
  readonly accountId: string | null;
  readonly minEpoch: number | null;
  readonly until: Date | null;
}

export interface RevocationPage extends RevocationBatch {
  readonly head: number;
}

/**
 * The first `max` revocations after `after` that still matter, and the head, in one statement and so of one instant.
 * Nothing up to `sequence` is missing.
 */
export async function listRevocations(
  db: Queryable,
  { after, max, now }: { after: number; max: number; now: Date },
): Promise<RevocationPage> {
  const rows = await db.query<RevocationRow>(
    `SELECT h.sequence AS head, r.sequence, r.session_id AS "sessionId", r.account_id AS "accountId",
       r.min_epoch AS "minEpoch", r.until
     FROM revocation_head h
     LEFT JOIN LATERAL (SELECT * FROM revocation WHERE sequence > $1 AND until > $2 ORDER BY sequence LIMIT $3) r ON true
     ORDER BY r.sequence`,
    [after, now, max],
  );
  const head = Number(rows[0]?.head ?? 0);
  const last = rows.at(-1)?.sequence ?? null;
  const sequence = rows.length < max || last === null ? head : Number(last);
  return { sequence, head, revocations: rows.flatMap(toRevocation) };
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
