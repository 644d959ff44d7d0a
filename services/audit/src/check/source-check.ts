import { z } from 'zod';
import type { RetiredEntries } from '@prime-nest/contracts/audit';
import { retirementType } from '../log/retirement.js';
import { placeKey } from '../log/sequence.js';
import type { Place, PlacedEntry } from '../log/source-record.js';
import type { Fault } from './log-check.js';
import type { RecordedPassed } from './numbering-check.js';

const Count = z.int().min(0);
const SourceRecord = z.object({
  from: Count,
  to: Count,
  sources: z.array(
    z.object({
      source: z.string(),
      epoch: z.string(),
      after: Count,
      sequence: Count,
      entries: z.array(z.tuple([Count, z.int().min(1)])),
      passed: z.array(z.tuple([Count, Count, z.enum(['quarantined', 'repeated'])])),
    }),
  ),
});
type Account = z.infer<typeof SourceRecord>['sources'][number];

const recordType = 'audit.sources.recorded.v1';
export const quarantineType = 'audit.event.quarantined.v1';
/** What the log writes by itself, without a number of any source. */
const ownTypes: ReadonlySet<string> = new Set([recordType, quarantineType, retirementType]);

interface Seen {
  readonly source: string;
  readonly type: string;
  /** What the database says beside the entry: its number, or that it has none. Undefined where only bytes are known. */
  readonly place?: Place | null | undefined;
}

/** A record that was judged: the numbers that it says were taken, and those of them that have no entry of their own. */
export interface JudgedRecord extends RecordedPassed {
  readonly accounts: readonly { source: string; epoch: string; after: number; sequence: number }[];
}

/**
 * Follows the log's records of its sources: every entry is a number of its source or the log's own, and every number
 * up to the last record has exactly one entry that speaks for it. Give all entries in order, then ask for the faults.
 * Where the database's own columns are given with an entry, they have to be what the record says.
 */
export class SourceCheck {
  readonly #faults: Fault[] = [];
  readonly #sequences = new Map<string, number>();
  #from = 0;
  /** Undefined: retired, and not known. */
  #seen: (Seen | undefined)[] = [];

  /** Goes on after entries that are retired, from where the records among them ended. */
  resume({ to, records }: Pick<RetiredEntries, 'to' | 'records'>): void {
    this.#from = records.size;
    this.#seen = Array.from({ length: to - records.size }, () => undefined);
    for (const { source, epoch, sequence } of records.sources) this.#sequences.set(placeKey(source, epoch), sequence);
  }

  /** How far the records have come, for whoever goes on from here. */
  records(): RetiredEntries['records'] {
    const sources = [...this.#sequences].map(([key, sequence]) => {
      const [source = '', epoch = ''] = key.split(' ');
      return { source, epoch, sequence };
    });
    return { size: this.#from, sources };
  }

  /** Answers the record that the entry is, if it is one and accounts for the entries before it. */
  add(index: number, bytes: Uint8Array, place?: Place | null): JudgedRecord | undefined {
    const entry = readEntry(bytes);
    this.#seen.push({ source: entry.source, type: entry.type, place });
    if (ownTypes.has(entry.type) && place !== undefined && place !== null)
      this.#misplaced(index, 'name a number, and the log wrote the entry itself');
    if (entry.type !== recordType) return undefined;
    const record = SourceRecord.safeParse(entry.after);
    if (record.success) return this.#judge(index, record.data);
    this.#report(index, 'is no record of sources');
    return undefined;
  }

  /** Entries that no record covers yet and that are a number of a source, as the database says which. */
  open(): PlacedEntry[] {
    return this.#seen.flatMap((seen, i) =>
      seen === undefined || ownTypes.has(seen.type)
        ? []
        : [{ index: this.#from + i, source: seen.source, place: seen.place ?? undefined }],
    );
  }

  finish(): readonly Fault[] {
    return this.#faults;
  }

  /** What is shown, in words: numbers by source and epoch, and how many of the newest entries no record covers yet. */
  summary(): string {
    const sources = [...this.#sequences].map(([key, sequence]) => `${key.split(' ')[0] ?? ''} 1 to ${sequence}`);
    const open = this.#seen.filter((seen) => seen !== undefined && !ownTypes.has(seen.type)).length;
    if (sources.length === 0) return `no record of sources yet`;
    return `no number of a source is missing: ${sources.join(', ')} (${open} newer entries not recorded yet)`;
  }

  #judge(index: number, { from, to, sources }: z.infer<typeof SourceRecord>): JudgedRecord | undefined {
    if (from !== this.#from || to > index) {
      this.#report(index, `accounts for the entries ${from} to ${to - 1}, not from ${this.#from} on`);
      return undefined;
    }
    const claimed = new Set<number>();
    for (const account of sources) this.#judgeAccount(index, account, { to, claimed });
    for (let at = from; at < to; at++) {
      const seen = this.#seen[at - from];
      if (seen !== undefined && !ownTypes.has(seen.type) && !claimed.has(at)) {
        this.#report(index, `leaves out entry ${at}`);
        break;
      }
    }
    this.#seen = this.#seen.slice(to - from);
    this.#from = to;
    const numbers = sources.flatMap(({ source, epoch, passed }) =>
      passed.map(([sequence, at, kind]) => ({ source, epoch, sequence, kind, index: at })),
    );
    return { record: index, accounts: sources, numbers };
  }

  #judgeAccount(index: number, account: Account, { to, claimed }: { to: number; claimed: Set<number> }): void {
    const { source, epoch, after, sequence, entries, passed } = account;
    const key = placeKey(source, epoch);
    const last = this.#sequences.get(key) ?? 0;
    if (after !== last) this.#report(index, `goes on after number ${after} of ${source}, and the last was ${last}`);
    this.#sequences.set(key, sequence);
    const without = new Set(passed.map(([number]) => number));
    let [numbers, number, before] = [0, after, -1];
    for (const [first, count] of entries) {
      numbers += count;
      for (let at = first; at < first + count; at++) {
        do number++;
        while (without.has(number));
        if (at >= to || !this.#isOf(source, at) || claimed.has(at)) {
          this.#report(index, `gives a number of ${source} to entry ${at}, which is not one of it`);
          return;
        }
        claimed.add(at);
        if (at < before)
          this.#report(index, `gives numbers of ${source} against the order of the entries ${at} and ${before}`);
        before = at;
        const place = this.#seenAt(at)?.place;
        if (place !== undefined && (place?.epoch !== epoch || place.sequence !== number))
          this.#misplaced(at, `are not what the record of sources at entry ${index} says`);
      }
    }
    const named = new Set<number>();
    for (const [number, at, kind] of passed) {
      const seen = this.#seenAt(at);
      const isFit = seen === undefined || (kind === 'quarantined') === (seen.type === quarantineType);
      if (number <= after || number > sequence || at >= to || !isFit || named.has(number)) {
        this.#report(index, `has number ${number} of ${source} spoken for by entry ${at}, which does not`);
        return;
      }
      named.add(number);
    }
    if (numbers + named.size !== sequence - after) {
      const missing = sequence - after - numbers - named.size;
      this.#report(index, `names ${missing} numbers of ${source} (${after + 1} to ${sequence}) without an entry`);
    }
  }

  /** Whether the entry may be a number of this source; of a retired one that is not known. */
  #isOf(source: string, index: number): boolean {
    const seen = this.#seenAt(index);
    if (seen === undefined) return index >= this.#from && index - this.#from < this.#seen.length;
    return seen.source === source && !ownTypes.has(seen.type);
  }

  /** Undefined for a retired entry, and for an entry that an earlier record covers. */
  #seenAt(index: number): Seen | undefined {
    return this.#seen[index - this.#from];
  }

  #misplaced(index: number, what: string): void {
    this.#faults.push({ kind: 'altered', index, detail: `the columns epoch and source_seq of entry ${index} ${what}` });
  }

  #report(index: number, what: string): void {
    this.#faults.push({ kind: 'gap', index, detail: `the record of sources at entry ${index} ${what}` });
  }
}

/** What is no event is reported by those who compare hashes and columns. */
function readEntry(bytes: Uint8Array): Omit<Seen, 'place'> & { after?: unknown } {
  try {
    const event = JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<string, unknown>;
    const { source, type, change } = event;
    const after: unknown = type === recordType ? (change as { after?: unknown } | undefined)?.after : undefined;
    return { source: String(source), type: String(type), after };
  } catch {
    return { source: '', type: '' };
  }
}
