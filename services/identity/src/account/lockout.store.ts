import type { Database, Prepared, Queryable, Tx } from '@prime-nest/kit/database';
import { escalation, type Lane, type LaneKind, type LockoutPolicy } from './lockout.js';

/** What an attempt may do: run one hash, or nothing until `lockedUntil`. */
export type Admission =
  | { readonly isAdmitted: true; readonly charges: readonly Charge[] }
  | { readonly isAdmitted: false; readonly lockedUntil: Date };

/** One failure counted in advance. `lockedUntil` is set when this very charge locked the lane. */
export interface Charge {
  readonly lane: Lane;
  readonly failures: number;
  readonly lockedUntil: Date | null;
}

interface ChargeRow {
  readonly kind: LaneKind;
  readonly failures: number;
  readonly lockedUntil: Date | null;
}

/**
 * Counts a failure before it is known to be one, in one statement: of any number of attempts at once, exactly as many
 * as the policy allows are admitted, and an attempt against a locked lane changes nothing. `source`, when given, must
 * not be locked either, and is charged only if `lane` admitted the attempt.
 */
export async function chargeLanes(
  db: Database,
  { lane, source, policy, now }: { lane: Lane; source: Lane | undefined; policy: LockoutPolicy; now: Date },
): Promise<Admission> {
  const rows = await db.query<ChargeRow>({ name: 'lockout.charge', text: chargeSql }, [
    lane.key,
    lane.kind,
    lane.identifier,
    source?.key ?? null,
    now,
    policy.lockSeconds,
    policy.attemptsMax,
    policy.sourceAttemptsMax,
    escalation.capSeconds,
    escalation.decaySeconds,
  ]);
  const own = rows.find((row) => row.kind === lane.kind);
  const shared = rows.find((row) => row.kind === 'source');
  if (own !== undefined && (source === undefined || shared !== undefined)) {
    const charges = [
      { ...own, lane },
      ...(source === undefined || shared === undefined ? [] : [{ ...shared, lane: source }]),
    ];
    return { isAdmitted: true, charges };
  }
  return {
    isAdmitted: false,
    lockedUntil: (await lockedUntil(db, [lane, source], now)) ?? new Date(now.getTime() + 1000),
  };
}

const upsert = (values: string, attemptsMax: string, canEscalate: boolean) => {
  const isFresh = `(l.window_started_at <= $5 - make_interval(secs => $6) OR COALESCE(l.locked_until <= $5, false))`;
  const failures = `CASE WHEN ${isFresh} THEN 1 ELSE l.failures + 1 END`;
  // Each lock within a day of the last doubles the next; each day without one takes a doubling back.
  const earlier = `GREATEST(0, l.lock_count - COALESCE(floor(extract(epoch FROM $5 - l.locked_at) / $10)::int, 0))`;
  const doubled = `LEAST($6 * power(2, LEAST(${earlier}, 16)), GREATEST($6, $9))`;
  // Only strangers wait longer each time; who is known, or shares an address, does not pay for them.
  const length = canEscalate ? `CASE WHEN l.kind = 'stranger' THEN ${doubled} ELSE $6 END` : '$6';
  return `INSERT INTO login_lane AS l (lane, kind, identifier, failures, window_started_at, locked_until, lock_count, locked_at)
    ${values}
    ON CONFLICT (lane) DO UPDATE SET
      failures = ${failures},
      window_started_at = CASE WHEN ${isFresh} THEN $5 ELSE l.window_started_at END,
      locked_until = CASE WHEN ${failures} >= ${attemptsMax} THEN $5 + make_interval(secs => ${length}) END,
      lock_count = CASE WHEN ${failures} >= ${attemptsMax} THEN ${earlier} + 1 ELSE l.lock_count END,
      locked_at = CASE WHEN ${failures} >= ${attemptsMax} THEN $5 ELSE l.locked_at END
    WHERE l.locked_until IS NULL OR l.locked_until <= $5
    RETURNING kind, failures, locked_until AS "lockedUntil"`;
};

const first = (attemptsMax: string) => `1, $5,
  CASE WHEN ${attemptsMax} <= 1 THEN $5 + make_interval(secs => $6) END,
  CASE WHEN ${attemptsMax} <= 1 THEN 1 ELSE 0 END,
  CASE WHEN ${attemptsMax} <= 1 THEN $5 END`;

const chargeSql = `
WITH input AS (
  SELECT $1::bytea AS lane, $2::text AS kind, $3::bytea AS identifier, $4::bytea AS source, $5::timestamptz AS now,
    $6::double precision AS lock, $7::int AS attempts, $8::int AS source_attempts, $9::double precision AS cap,
    $10::double precision AS decay
), own AS (
  ${upsert(
    `SELECT lane, kind, identifier, ${first('$7')} FROM input
     WHERE NOT EXISTS (SELECT FROM login_lane s WHERE s.lane = input.source AND s.locked_until > $5)`,
    '$7',
    true,
  )}
), source AS (
  ${upsert(`SELECT source, 'source', NULL::bytea, ${first('$8')} FROM input, own WHERE source IS NOT NULL`, '$8', false)}
)
SELECT * FROM own UNION ALL SELECT * FROM source`;

/** The latest instant until which any of the lanes is locked at `now`, if one is. */
export async function lockedUntil(
  db: Queryable,
  lanes: readonly (Lane | undefined)[],
  now: Date,
): Promise<Date | undefined> {
  const keys = lanes.flatMap((lane) => (lane === undefined ? [] : [lane.key]));
  const [row] = await db.query<{ until: Date | null }>(
    'SELECT max(locked_until) AS until FROM login_lane WHERE lane = ANY($1::bytea[]) AND locked_until > $2',
    [keys, now],
  );
  return row?.until ?? undefined;
}

/** The locks of several lanes at once, by the lane's key in hex. */
export async function locksOf(db: Queryable, lanes: readonly Lane[], now: Date): Promise<Map<string, Date>> {
  const rows = await db.query<{ lane: Buffer; until: Date }>(
    'SELECT lane, locked_until AS until FROM login_lane WHERE lane = ANY($1::bytea[]) AND locked_until > $2',
    [lanes.map((lane) => lane.key), now],
  );
  return new Map(rows.map(({ lane, until }) => [lane.toString('hex'), until]));
}

/** The own lane before the source, like {@link chargeLanes}, or a success and an attempt could wait for each other. */
const clearSql: Prepared = {
  name: 'lockout.clear',
  text: `WITH own AS (DELETE FROM login_lane WHERE lane = ANY($1::bytea[]) RETURNING 1)
   ${takeBackSql('$2', '$3')} AND (SELECT count(*) FROM own) >= 0`,
};

/** A success: forgets the failures of its own lane, and takes back its own charge, no more, from the shared source. */
export async function clearCharges(tx: Tx, charges: readonly Charge[]): Promise<void> {
  const source = charges.find(({ lane }) => lane.kind === 'source');
  const own = charges.filter((charge) => charge !== source).map(({ lane }) => lane.key);
  await tx.query(clearSql, [own, source?.lane.key ?? null, source?.lockedUntil ?? null]);
}

/** For an attempt that ran no hash after all: as if it had not been made. */
export async function refundCharges(db: Database, charges: readonly Charge[]): Promise<void> {
  for (const charge of charges) await takeBack(db, charge);
}

async function takeBack(db: Queryable, { lane, lockedUntil: lock }: Charge): Promise<void> {
  await db.query(takeBackSql('$1', '$2'), [lane.key, lock]);
}

/** One failure less, and the lock open if this charge closed it. A function: statements above are made of it. */
function takeBackSql(lane: string, lock: string): string {
  return `UPDATE login_lane SET failures = GREATEST(0, failures - 1),
     locked_until = CASE WHEN locked_until = ${lock}::timestamptz THEN NULL ELSE locked_until END
   WHERE lane = ${lane}::bytea`;
}

/** Opens every lane of the identifier: strangers, devices and the question for the current password. */
export async function unlockIdentifier(tx: Tx, identifier: Buffer): Promise<number> {
  return (await tx.query('DELETE FROM login_lane WHERE identifier = $1 RETURNING 1', [identifier])).length;
}
