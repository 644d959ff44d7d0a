import { AppError } from '@prime-nest/contracts/errors';
import type { Actor } from '@prime-nest/contracts/context';
import type { Queryable, Tx } from '@prime-nest/kit/database';
import { Delta, type Revised } from './delta.js';

/** The revision at one moment of the database's clock. */
export interface Head {
  readonly revision: number;
  /** The database's clock in milliseconds, read after the revision could no longer move (in a mutation). */
  readonly nowMs: number;
}

/** The newest committed revision. One statement, so it sees everything that was committed before it was sent. */
export async function readHead(database: Queryable): Promise<Head> {
  const [row] = await database.query<{ revision: string; now: string }>(
    `SELECT revision, extract(epoch FROM clock_timestamp()) * 1000 AS now FROM rbac_state WHERE id = 1`,
  );
  return headOf(row);
}

/**
 * Takes the one lock that every mutation holds until it ends: whoever has it is alone, and knows the head revision.
 * Waits at most a second for it, and no statement or pause of the holder may last longer: while it is held, no
 * replica can renew its lease.
 */
export async function lockHead(tx: Tx): Promise<Head> {
  await tx.query(
    `SELECT set_config('lock_timeout', '1000', true), set_config('statement_timeout', '1000', true),
            set_config('idle_in_transaction_session_timeout', '1000', true)`,
  );
  await tx.query(`SELECT revision FROM rbac_state WHERE id = 1 FOR UPDATE`);
  // A statement of its own: the one that waits for the lock may have read the clock before it waited.
  return readHead(tx);
}

/** The steps after `revision`, oldest first, without a gap. */
export async function readChangesSince(database: Queryable, revision: number): Promise<Revised[]> {
  const rows = await database.query<{ revision: string; delta: unknown }>(
    `SELECT revision, delta FROM rbac_changelog WHERE revision > $1 ORDER BY revision`,
    [revision],
  );
  return rows.map((row, index) => {
    if (Number(row.revision) !== revision + index + 1) {
      throw new AppError('internal', { internal: { reason: 'the changelog has a gap', after: revision + index } });
    }
    return { revision: Number(row.revision), delta: Delta.parse(row.delta) };
  });
}

export interface Entry extends Revised {
  readonly actor: Actor;
  readonly op: string;
}

/** Writes the history of one mutation and moves the revision, in the mutation's transaction. Needs the lock. */
export async function appendChange(tx: Tx, { revision, actor, op, delta }: Entry): Promise<void> {
  await tx.query(`INSERT INTO rbac_changelog (revision, actor_type, actor_id, op, delta) VALUES ($1, $2, $3, $4, $5)`, [
    revision,
    actor.type,
    actor.type === 'anonymous' ? null : actor.id,
    op,
    JSON.stringify(delta),
  ]);
  await tx.query(`UPDATE rbac_state SET revision = $1 WHERE id = 1`, [revision]);
}

/**
 * The whole policy as the steps that build it, at one revision. Call it in a REPEATABLE READ transaction: all of its
 * statements have to see the same policy.
 */
export async function readPolicy(tx: Tx): Promise<Revised> {
  const { revision } = await readHead(tx);
  const features = await tx.query<{ id: string; name: string; isActive: boolean }>(
    `SELECT id, name, is_active AS "isActive" FROM feature`,
  );
  const permissions = await tx.query<{ id: string; featureId: string; action: string }>(
    `SELECT id, feature_id AS "featureId", action FROM permission`,
  );
  const roles = await tx.query<{ id: string; name: string; isActive: boolean; receivesNew: boolean; grants: string[] }>(
    `SELECT id, name, is_active AS "isActive", receives_new AS "receivesNew",
            ARRAY(SELECT permission_id::text FROM role_permission WHERE role_id = role.id) AS grants
       FROM role`,
  );
  const principals = await tx.query<{ id: string; isActive: boolean; roles: string[]; ends: (string | null)[] }>(
    `SELECT p.id, p.is_active AS "isActive",
            coalesce(array_agg(r.role_id::text) FILTER (WHERE r.role_id IS NOT NULL), '{}') AS roles,
            coalesce(array_agg((extract(epoch FROM r.expires_at) * 1000)::text) FILTER (WHERE r.role_id IS NOT NULL), '{}') AS ends
       FROM principal p LEFT JOIN principal_role r ON r.principal_id = p.id
      GROUP BY p.id`,
  );
  const delta: Delta = [
    ...features.map((one) => ({ op: 'feature.put' as const, ...one })),
    ...permissions.map((one) => ({ op: 'permission.put' as const, ...one })),
    ...roles.map(({ id, name, isActive, receivesNew }) => ({
      op: 'role.put' as const,
      id,
      name,
      isActive,
      receivesNew,
    })),
    ...roles.map(({ id, grants }) => ({ op: 'role.grant' as const, id, permissionIds: grants })),
    ...principals.map(({ id, isActive, roles: ids, ends }) => ({
      op: 'principal.put' as const,
      id,
      isActive,
      roles: ids.map((roleId, index) => ({ id: roleId, expiresAtMs: endOf(ends[index]) })),
    })),
  ];
  return { revision, delta };
}

function endOf(end: string | null | undefined): number | null {
  return end === null || end === undefined ? null : Number(end);
}

function headOf(row: { revision: string; now: string } | undefined): Head {
  if (row === undefined) throw new AppError('internal', { internal: { reason: 'the policy has no state row' } });
  return { revision: Number(row.revision), nowMs: Number(row.now) };
}
