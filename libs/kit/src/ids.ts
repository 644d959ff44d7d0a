import { v7 } from 'uuid';

/** A new time-ordered id (RFC 9562 §5.7, version 7). Unique, not secret: never use it as a credential. */
export function newId(): string {
  return v7();
}
