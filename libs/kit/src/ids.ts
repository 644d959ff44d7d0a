import { v7 } from 'uuid';

/** A new time-ordered id (RFC 9562 §5.7, version 7). Unique, not secret: never use it as a credential. */
export function newId(): string {
  return v7();
}

/** A new id that says it was made at `now`: for what is told to be old by its id. */
export function newIdAt(now: Date): string {
  return v7({ msecs: now.getTime() });
}

/** Not above any id made at `at` or later, and above all that were made before. */
export function firstIdAt(at: Date): string {
  const hex = at.getTime().toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}
