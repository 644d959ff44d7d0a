import { hash } from 'node:crypto';
import { rawBytesMax } from '../log/log.store.js';
import { shownOrigin } from '../log/quarantine-event.js';
import type { Origin } from '../log/quarantine-event.js';

/** A message that could not become an entry, as it is kept. */
export interface QuarantinedRow extends Origin {
  readonly reason: string;
  readonly raw: Buffer;
}

/**
 * What is wrong with a kept message, by the entry that stands for it in the log; undefined when it is what the entry
 * says. Of a message that was too long to keep the digest cannot be computed again, and its length says so.
 */
export function quarantineFault(entry: Uint8Array, row: QuarantinedRow | undefined): string | undefined {
  if (row === undefined) return 'the message in quarantine is not there any more';
  try {
    const { reasonCode, change } = JSON.parse(Buffer.from(entry).toString('utf8')) as {
      reasonCode?: string;
      change: { after: Origin & { sha256: string; size: number } };
    };
    const { after } = change;
    const shown = shownOrigin(row);
    const column = (Object.keys(shown) as (keyof Origin)[]).find((name) => shown[name] !== after[name]);
    if (column !== undefined) return `the ${column} of the message in quarantine is not that`;
    if (row.reason !== reasonCode) return 'the reason of the quarantine is not that';
    const isCut = after.size > rawBytesMax;
    const isWhole = row.raw.length === Math.min(after.size, rawBytesMax);
    if (isWhole && (isCut || hash('sha256', row.raw, 'hex') === after.sha256)) return undefined;
    return 'the message in quarantine is not that';
  } catch {
    return 'the entry does not say what is in the quarantine';
  }
}
