import type { Queryable, Tx } from '@prime-nest/kit/database';
import type { LeaseLeft } from '@prime-nest/kit/member-barrier';

export interface Renewal {
  readonly memberId: string;
  readonly leaseMs: number;
  /** Everything up to here is refused by the member. */
  readonly appliedSequence: number;
}

/**
 * Renews (or takes) the lease and answers the head, which the member has to know before the lease counts. Waits for a
 * revocation that is under way, and a revocation that begins waits for it: so a revocation either sees this lease, or
 * this renewal sees that revocation. The head is locked before the member's row, here as everywhere.
 */
export async function renewLease(tx: Tx, { memberId, leaseMs, appliedSequence }: Renewal): Promise<number> {
  const [head] = await tx.query<{ sequence: string }>(`SELECT sequence FROM revocation_head FOR SHARE`);
  const sequence = Number(head?.sequence ?? 0);
  await tx.query(
    `INSERT INTO gateway_member AS m (id, lease_until, acked_sequence)
     VALUES ($1, clock_timestamp() + $2 * interval '1 millisecond', $3)
     ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until,
       acked_sequence = greatest(m.acked_sequence, excluded.acked_sequence)`,
    // A member that knows more than there is was told by a database that has been restored since.
    [memberId, leaseMs, Math.min(appliedSequence, sequence)],
  );
  return sequence;
}

/** Ends the lease at once. Only for a member that serves nobody any more. */
export async function endLease(db: Queryable, memberId: string): Promise<void> {
  await db.query(`DELETE FROM gateway_member WHERE id = $1`, [memberId]);
}

interface LiveRow {
  readonly id: string;
  readonly left: string;
}

/** Leases that have not ended, as columns `id` and `left`. */
export const liveMembersSql = `SELECT id, extract(epoch FROM lease_until - clock_timestamp()) * 1000 AS left
  FROM gateway_member WHERE lease_until > clock_timestamp()`;

export function toLeases(rows: readonly LiveRow[]): LeaseLeft[] {
  return rows.map(({ id, left }) => ({ memberId: id, leftMs: Number(left) }));
}

/** The leases that have not ended. Whatever was committed before the call was given under them or is known to them. */
export async function readLiveMembers(db: Queryable): Promise<LeaseLeft[]> {
  return toLeases(await db.query<LiveRow>(liveMembersSql));
}

/** Which of the members have recorded that they refuse everything up to `sequence`. */
export async function readAcked(db: Queryable, memberIds: readonly string[], sequence: number): Promise<string[]> {
  const rows = await db.query<{ id: string }>(
    `SELECT id FROM gateway_member WHERE id = ANY($1::uuid[]) AND acked_sequence >= $2`,
    [memberIds, sequence],
  );
  return rows.map(({ id }) => id);
}
