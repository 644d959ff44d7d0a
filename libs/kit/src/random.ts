import { randomFillSync } from 'node:crypto';

/** Drawn in bulk: a call to the operating system per id would cost more than the rest of it. */
const pool = Buffer.alloc(4_096);
let used = pool.length;

/** Random bytes for ids, in place until the next call. No secrets are made of it: used bytes stay in memory for a while. */
export function idBytes(count: number): Buffer {
  if (used + count > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += count;
  return pool.subarray(used - count, used);
}
