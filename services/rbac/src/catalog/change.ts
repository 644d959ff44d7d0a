import { AppError } from '@prime-nest/contracts/errors';

type Fields = Readonly<Record<string, unknown>>;

/** The named fields that differ, as they were and as they are: `change` of an event. Undefined when none does. */
export function changedFields<T extends object>(
  before: T,
  after: T,
  names: readonly (keyof T & string)[],
): { before: Fields; after: Fields } | undefined {
  const differing = names.filter((name) => before[name] !== after[name]);
  if (differing.length === 0) return undefined;
  const pick = (from: T) => Object.fromEntries(differing.map((name) => [name, from[name]]));
  return { before: pick(before), after: pick(after) };
}

/** Answers what was found, or throws `not_found`, or `version_conflict` when the caller has seen another version. */
export function current<T extends { readonly version: number }>(found: T | undefined, version: number | undefined): T {
  if (found === undefined) throw new AppError('not_found');
  if (version !== undefined && found.version !== version) {
    throw new AppError('version_conflict', { internal: { expected: version, found: found.version } });
  }
  return found;
}

/** A row that the statement before has just written. */
export function written<T>(row: T | undefined): T {
  if (row === undefined) throw new AppError('internal', { internal: { reason: 'a written row did not come back' } });
  return row;
}
