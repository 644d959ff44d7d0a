/**
 * Requests and responses of `rbac.access.decide.v1`, recognized without the schema: every guarded request needs one,
 * and a batch holds hundreds of checks. Answers true only for what the schema accepts and hands out unchanged; a
 * property test compares the two. The schema in `rbac.ts` stays the definition.
 */

const id = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const permissionName = /^[a-z][a-z0-9_]{0,47}:[a-z][a-z0-9_]{0,47}$/;
const reasons: ReadonlySet<unknown> = new Set([
  'unknown_principal',
  'principal_inactive',
  'unknown_permission',
  'feature_inactive',
  'no_grant',
]);
const checksMax = 1_000;

type Fields = Readonly<Record<string, unknown>>;

export function isPlainDecideRequest(value: unknown): boolean {
  if (!isFields(value)) return false;
  const { checks, minRevision } = value;
  const hasFloor = Object.hasOwn(value, 'minRevision');
  if (hasFloor && !isRevision(minRevision)) return false;
  if (keyCount(value) !== (hasFloor ? 2 : 1)) return false;
  return Array.isArray(checks) && checks.length > 0 && checks.length <= checksMax && checks.every(isPlainCheck);
}

export function isPlainDecideResponse(value: unknown): boolean {
  if (!isFields(value) || keyCount(value) !== 2) return false;
  const { revision, decisions } = value;
  return isRevision(revision) && Array.isArray(decisions) && decisions.every(isPlainDecision);
}

function isPlainCheck(check: unknown): boolean {
  if (!isFields(check) || keyCount(check) !== 2) return false;
  const { principalId, permission } = check;
  if (typeof principalId !== 'string' || typeof permission !== 'string') return false;
  return id.test(principalId) && permissionName.test(permission);
}

function isPlainDecision(decision: unknown): boolean {
  if (!isFields(decision)) return false;
  if (decision['effect'] === 'allow') return keyCount(decision) === 1;
  return decision['effect'] === 'deny' && reasons.has(decision['reason']) && keyCount(decision) === 2;
}

function isRevision(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Inherited ones too: what has any is left to the schema. */
function keyCount(fields: Fields): number {
  let count = 0;
  // eslint-disable-next-line @typescript-eslint/no-unused-vars -- counting without a list of them
  for (const _ in fields) count++;
  return count;
}
