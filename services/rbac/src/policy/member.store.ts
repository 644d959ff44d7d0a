import type { Queryable, Tx } from '@prime-nest/kit/database';
import type { LeaseLeft } from '@prime-nest/kit/member-barrier';
import type { Head } from './policy.store.js';

export interface Renewal {
  readonly memberId: string;
  readonly leaseMs: number;
  /** Everything up to here has been applied by the member. */
  readonly ackedRevision: number;
}

/**
 * Renews (or takes) the member's lease and answers the head revision, which the member has to apply before the lease
 * counts. Waits for a mutation that is under way, and a mutation that begins waits for it: so a mutation either sees
 * this lease, or this renewal sees that mutation.
 */
export async function renewLease(tx: Tx, { memberId, leaseMs, ackedRevision }: Renewal): Promise<Head> {
  const [state] = await tx.query<{ revision: string }>(`SELECT revision FROM rbac_state WHERE id = 1 FOR SHARE`);
  const [row] = await tx.query<{ now: string }>(
    `INSERT INTO rbac_member (id, lease_until, acked_revision)
     VALUES ($1, clock_timestamp() + $2 * interval '1 millisecond', $3)
     ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until, acked_revision = excluded.acked_revision
     RETURNING extract(epoch FROM clock_timestamp()) * 1000 AS now`,
    [memberId, leaseMs, ackedRevision],
  );
  return { revision: Number(state?.revision ?? 0), nowMs: Number(row?.now ?? Infinity) };
}

/** Ends the lease at once. Only for a member that answers no questions any more. */
export async function removeMember(database: Queryable, memberId: string): Promise<void> {
  await database.query(`DELETE FROM rbac_member WHERE id = $1`, [memberId]);
}

/** Forgets members whose lease ended long ago: processes that were killed. */
export async function removeDeadMembers(database: Queryable): Promise<void> {
  await database.query(`DELETE FROM rbac_member WHERE lease_until < clock_timestamp() - interval '10 minutes'`);
}

/** Members whose lease has not ended. Read it under the lock of a mutation, in a statement of its own. */
export async function readLiveMembers(tx: Tx): Promise<LeaseLeft[]> {
  const rows = await tx.query<{ id: string; left: string }>(
    `SELECT id, extract(epoch FROM lease_until - clock_timestamp()) * 1000 AS left
       FROM rbac_member WHERE lease_until > clock_timestamp()`,
  );
  return rows.map(({ id, left }) => ({ memberId: id, leftMs: Number(left) }));
}

/** Which of the members have recorded that they applied `revision`. */
export async function readAcked(
  database: Queryable,
  memberIds: readonly string[],
  revision: number,
): Promise<string[]> {
  const rows = await database.query<{ id: string }>(
    `SELECT id FROM rbac_member WHERE id = ANY($1::uuid[]) AND acked_revision >= $2`,
    [memberIds, revision],
  );
  return rows.map(({ id }) => id);
}

export interface MemberState extends LeaseLeft {
  readonly ackedRevision: number;
  readonly startedAt: string;
}

export async function readMembers(database: Queryable): Promise<MemberState[]> {
  const rows = await database.query<{ id: string; left: string; acked: string; startedAt: Date }>(
    `SELECT id, extract(epoch FROM lease_until - clock_timestamp()) * 1000 AS left, acked_revision AS acked,
            started_at AS "startedAt"
       FROM rbac_member ORDER BY started_at, id`,
  );
  return rows.map((row) => ({
    memberId: row.id,
    leftMs: Math.round(Number(row.left)),
    ackedRevision: Number(row.acked),
    startedAt: row.startedAt.toISOString(),
  }));
}
