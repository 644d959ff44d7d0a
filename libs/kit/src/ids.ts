import { v7 } from 'uuid';
import { idBytes } from './random.js';

let msecs = 0;
let seq = 0;

/**
 * A new time-ordered id (RFC 9562 §5.7, version 7); those of one process ascend, also within a millisecond. Unique, not
 * secret: never use it as a credential.
 */
export function newId(): string {
  const random = idBytes(16);
  const now = Date.now();
  if (now > msecs) {
    msecs = now;
    // The upper half of its range stays free for the ids that follow in this millisecond.
    seq = random.readUInt32BE(0) >>> 1;
  } else seq += 1;
  return v7({ random, msecs, seq });
}

/** A new id that says it was made at `now`: for what is told to be old by its id. */
export function newIdAt(now: Date): string {
  return v7({ random: idBytes(16), msecs: now.getTime() });
}

/** Not above any id made at `at` or later, and above all that were made before. */
export function firstIdAt(at: Date): string {
  const hex = at.getTime().toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}
