import type { Database, Prepared, Queryable, Tx } from '@prime-nest/kit/database';
import { firstIdAt, newIdAt } from '@prime-nest/kit/ids';
import type { Consequence } from '@prime-nest/kit/outbox/outbox';
import {
  chargeSeconds,
  escalation,
  type Lane,
  type LaneKind,
  type LaneState,
  type LockoutPolicy,
  standingOf,
  type Standing,
} from './lockout.js';

/** The right to compare one password and to answer what came out. To be settled: nothing is answered before. */
export interface Charge {
  /** Time-ordered, so that an old one is known by its id alone. */
  readonly id: string;
  readonly lane: Lane;
  readonly source: Lane | undefined;
}

/** `isOwn`: so it is for everybody in this lane, not for those alone who share the source. */
export type Admission =
  | { readonly kind: 'admitted'; readonly charge: Charge }
  | { readonly kind: 'busy'; readonly isOwn: boolean }
  | { readonly kind: 'locked'; readonly isOwn: boolean; readonly until: Date };

/** What a failure made of one of its lanes. `lockedUntil` is set when this very failure locked it. */
export interface FailedLane {
  readonly kind: LaneKind;
  readonly failures: number;
  readonly lockedUntil: Date | null;
}

export interface ChargeRequest {
  readonly lane: Lane;
  readonly source: Lane | undefined;
  readonly policy: LockoutPolicy;
  readonly now: Date;
}

/** The lock is over, or the failures are too old to be added to. In every statement `$1` is now, `$2` the window. */
const isOver = `(l.window_started_at <= $1::timestamptz - make_interval(secs => $2::float8) OR COALESCE(l.locked_until <= $1, false))`;
const failures = `CASE WHEN ${isOver} THEN 0 ELSE l.failures END`;
/** `$3` is the first id that is not too old. */
const charges = `ARRAY(SELECT id FROM unnest(l.charges) AS id WHERE id >= $3::uuid)`;

const charging = (values: string, attemptsMax: string) => `
  INSERT INTO login_lane AS l (lane, kind, identifier, failures, charges, window_started_at) ${values}
  ON CONFLICT (lane) DO UPDATE SET
    failures = ${failures},
    charges = ${charges} || $4::uuid,
    window_started_at = CASE WHEN ${isOver} THEN $1 ELSE l.window_started_at END,
    locked_until = NULL
  WHERE (l.locked_until IS NULL OR l.locked_until <= $1)
    AND ${failures} + cardinality(${charges}) < ${attemptsMax}
  RETURNING kind`;

const chargeSql: Prepared = {
  name: 'lockout.charge',
  text: `WITH own AS (${charging(
    `SELECT $5::bytea, $6::text, $7::bytea, 0, ARRAY[$4::uuid], $1::timestamptz
     WHERE NOT EXISTS (SELECT FROM login_lane s WHERE s.lane = $9::bytea AND s.locked_until > $1)`,
    '$8::int',
  )}), source AS (${charging(
    `SELECT $9::bytea, 'source', NULL::bytea, 0, ARRAY[$4::uuid], $1::timestamptz FROM own WHERE $9::bytea IS NOT NULL`,
    '$10::int',
  )})
  SELECT kind FROM own UNION ALL SELECT kind FROM source`,
};

/**
 * Takes one of the attempts that are left in a lane, in one statement: failures and charges together never exceed what
 * the policy allows, however many ask at once, and asking for what is not there changes nothing. `source`, when given,
 * must have an attempt left, too.
 */
export async function chargeLanes(db: Database, request: ChargeRequest): Promise<Admission> {
  const { lane, source, policy, now } = request;
  const charge: Charge = { id: newIdAt(now), lane, source };
  const charged = await db.query<{ kind: LaneKind }>(chargeSql, [
    now,
    policy.lockSeconds,
    firstIdAt(new Date(now.getTime() - chargeSeconds * 1000)),
    charge.id,
    lane.key,
    lane.kind,
    lane.identifier,
    policy.attemptsMax,
    source?.key ?? null,
    policy.sourceAttemptsMax,
  ]);
  const isOwn = charged.some(({ kind }) => kind === lane.kind);
  if (isOwn && (source === undefined || charged.length === 2)) return { kind: 'admitted', charge };
  // The source filled up between the look at it and the charge. A crash here leaves a charge that grows too old.
  if (isOwn) await releaseCharge(db, charge);
  return refusalOf(db, request);
}

/** Why there was no attempt left. By now there may be: then it is `busy`, which is to be tried again. */
async function refusalOf(db: Database, { lane, source, policy, now }: ChargeRequest): Promise<Admission> {
  const states = await laneStates(db, { lane, source, policy, now });
  const own = standingIn(states, lane, policy.attemptsMax, now);
  const shared = standingIn(states, source, policy.sourceAttemptsMax, now);
  if (own.kind === 'locked') return { ...own, isOwn: true };
  if (shared.kind === 'locked') return { ...shared, isOwn: false };
  return { kind: 'busy', isOwn: own.kind === 'busy' };
}

function standingIn(
  states: ReadonlyMap<LaneKind, LaneState>,
  lane: Lane | undefined,
  attemptsMax: number,
  now: Date,
): Standing {
  const state = lane === undefined ? undefined : states.get(lane.kind);
  return state === undefined ? { kind: 'open' } : standingOf(state, attemptsMax, now);
}

const statesSql: Prepared = {
  name: 'lockout.states',
  text: `SELECT kind, ${failures} AS failures, cardinality(${charges}) AS charges, locked_until AS "lockedUntil",
     window_started_at + make_interval(secs => $2) AS "windowEndsAt"
   FROM login_lane l WHERE lane = ANY($4::bytea[])`,
};

async function laneStates(
  db: Database,
  { lane, source, policy, now }: ChargeRequest,
): Promise<Map<LaneKind, LaneState>> {
  const oldest = firstIdAt(new Date(now.getTime() - chargeSeconds * 1000));
  const keys = source === undefined ? [lane.key] : [lane.key, source.key];
  const rows = await db.query<LaneState & { kind: LaneKind }>(statesSql, [now, policy.lockSeconds, oldest, keys]);
  return new Map(rows.map((row) => [row.kind, row]));
}

// Each lock within a day of the last doubles the next; each day without one takes a doubling back.
const earlierLocks = `GREATEST(0, l.lock_count - COALESCE(floor(extract(epoch FROM $1 - l.locked_at) / $6::float8)::int, 0))`;
const doubled = `LEAST($2 * power(2, LEAST(${earlierLocks}, 16)), GREATEST($2, $5::float8))`;
// Only strangers wait longer each time; who is known, or shares an address, does not pay for them.
const lockLength = `CASE WHEN l.kind = 'stranger' THEN ${doubled} ELSE $2 END`;

const failing = (attemptsMax: string, where: string) => `
  UPDATE login_lane l SET
    charges = array_remove(l.charges, $3::uuid),
    failures = ${failures} + 1,
    failed_at = $1,
    window_started_at = CASE WHEN ${failures} = 0 THEN $1 ELSE l.window_started_at END,
    locked_until = CASE WHEN ${failures} + 1 >= ${attemptsMax} THEN $1 + make_interval(secs => ${lockLength}) END,
    lock_count = CASE WHEN ${failures} + 1 >= ${attemptsMax} THEN ${earlierLocks} + 1 ELSE l.lock_count END,
    locked_at = CASE WHEN ${failures} + 1 >= ${attemptsMax} THEN $1 ELSE l.locked_at END
  WHERE ${where}
  RETURNING kind, failures, locked_until AS "lockedUntil"`;

/** The own lane before the source, like every statement on both, or two attempts could wait for each other. */
const failureSql: Prepared = {
  name: 'lockout.failure',
  text: `WITH own AS (${failing('$4::int', 'l.lane = $7::bytea AND $3 = ANY(l.charges)')}),
   source AS (${failing('$8::int', 'l.lane = $9::bytea AND EXISTS (SELECT FROM own)')})
   SELECT * FROM own UNION ALL SELECT * FROM source`,
};

/**
 * Turns the charge into a failure, and into a lock if it was the last attempt. Undefined when the charge is not there
 * any more: then nobody may be told how the comparison ended.
 */
export async function failCharge(
  tx: Tx,
  { id, lane, source }: Charge,
  policy: LockoutPolicy,
  now: Date,
): Promise<readonly FailedLane[] | undefined> {
  const rows = await tx.query<FailedLane>(failureSql, [
    now,
    policy.lockSeconds,
    id,
    policy.attemptsMax,
    escalation.capSeconds,
    escalation.decaySeconds,
    lane.key,
    policy.sourceAttemptsMax,
    source?.key ?? null,
  ]);
  return rows.length === 0 ? undefined : rows;
}

/** Takes {@link passParams} from the `first` parameter on. A function: statements above it are made of it. */
function releasing(first: number, condition: string): string {
  const [id, lane, source, until] = [0, 1, 2, 3].map((i) => `$${first + i}`);
  const isForgiven = `(${until}::timestamptz IS NOT NULL AND COALESCE(l.failed_at <= ${until}, true))`;
  return `own AS (
     UPDATE login_lane l SET charges = array_remove(l.charges, ${id}::uuid),
       failures = CASE WHEN ${isForgiven} THEN 0 ELSE l.failures END,
       lock_count = CASE WHEN ${isForgiven} THEN 0 ELSE l.lock_count END,
       locked_at = CASE WHEN ${isForgiven} THEN NULL ELSE l.locked_at END
     WHERE l.lane = ${lane}::bytea AND ${id} = ANY(l.charges) ${condition} RETURNING 1),
   source AS (
     UPDATE login_lane l SET charges = array_remove(l.charges, ${id})
     WHERE l.lane = ${source}::bytea AND EXISTS (SELECT FROM own))`;
}

/** A success forgives what failed until `forgivenUntil`; null forgives nothing. */
export function passParams({ id, lane, source }: Charge, forgivenUntil: Date | null): readonly unknown[] {
  return [id, lane.key, source?.key ?? null, forgivenUntil];
}

/** {@link passCharge} as the consequence of a mutation that has `paramCount` parameters of its own. */
export function passing(paramCount: number): Consequence {
  return {
    expressions: releasing(paramCount + 1, 'AND EXISTS (SELECT FROM mutation)'),
    columns: 'EXISTS (SELECT FROM own) AS "isSettled"',
  };
}

const releaseSql: Prepared = {
  name: 'lockout.release',
  text: `WITH ${releasing(1, '')} SELECT 1 FROM own`,
};

/**
 * A success: gives the charge back, and forgives the failures of its own lane, unless one came after `askedAt`. Of
 * attempts that come together, the right ones so never make room for more wrong ones. False when the charge is not
 * there any more: then the success must not be acted on.
 */
export async function passCharge(tx: Tx, charge: Charge, askedAt: Date): Promise<boolean> {
  return (await tx.query(releaseSql, passParams(charge, askedAt))).length > 0;
}

/** For an attempt that compared nothing after all: as if it had not been made. */
export async function releaseCharge(db: Database, charge: Charge): Promise<void> {
  await db.query(releaseSql, passParams(charge, null));
}

/** The locks of several lanes at once, by the lane's key in hex. */
export async function locksOf(db: Queryable, lanes: readonly Lane[], now: Date): Promise<Map<string, Date>> {
  const rows = await db.query<{ lane: Buffer; until: Date }>(
    'SELECT lane, locked_until AS until FROM login_lane WHERE lane = ANY($1::bytea[]) AND locked_until > $2',
    [lanes.map((lane) => lane.key), now],
  );
  return new Map(rows.map(({ lane, until }) => [lane.toString('hex'), until]));
}

/**
 * Forgets what failed against the identifier: by strangers, by devices and at the question for the current password.
 * Attempts that are being compared stay charged. Answers how many lanes held something against it.
 */
export async function unlockIdentifier(tx: Tx, identifier: Buffer): Promise<number> {
  const sql = `UPDATE login_lane SET failures = 0, locked_until = NULL, lock_count = 0, locked_at = NULL
    WHERE identifier = $1 AND (failures > 0 OR lock_count > 0) RETURNING 1`;
  return (await tx.query(sql, [identifier])).length;
}
