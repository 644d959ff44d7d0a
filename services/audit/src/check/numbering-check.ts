import { placeKey } from '../log/sequence.js';
import type { PassedNumber, PlacedEntry, RecordedSource } from '../log/source-record.js';
import type { Fault } from './log-check.js';

/** How far the database says that the numbers of a source are taken, and recorded in the log. */
export interface StoredSource extends RecordedSource {
  readonly last: number;
}

/** What the database says of the numbers of all sources, at one moment. */
export interface StoredNumbering {
  /** Entries below it are accounted for by a record. */
  readonly recordedSize: number;
  readonly sources: readonly StoredSource[];
  /** Numbers without an entry of their own that no record names yet. */
  readonly passed: readonly PassedNumber[];
}

/** What the log itself says: how far its records have come, and the entries that none of them names yet. */
export interface SeenNumbering {
  readonly size: number;
  readonly sources: readonly RecordedSource[];
  readonly open: readonly PlacedEntry[];
}

const key = ({ source, epoch }: { source: string; epoch: string }) => placeKey(source, epoch);

/**
 * Holds what the database says of the numbers against the log: how far they are recorded against the signed records,
 * and those that are not recorded yet against each other, because nothing is signed of them.
 */
export function numberingFaults(stored: StoredNumbering, seen: SeenNumbering): Fault[] {
  const faults: Fault[] = [];
  const report = (detail: string, index?: number) =>
    faults.push({ kind: 'altered', detail, ...(index === undefined ? {} : { index }) });
  if (stored.recordedSize !== seen.size)
    report(`the state says that records cover ${stored.recordedSize} entries, and they cover ${seen.size}`);
  const recorded = new Map(seen.sources.map((source) => [key(source), source.sequence]));
  const isStated = new Set(stored.sources.map(key));
  for (const source of seen.sources) {
    if (!isStated.has(key(source))) report(`the state of a numbering of ${source.source} is not there`);
  }
  const open = new Map<string, { index: number; sequence: number }[]>();
  for (const { index, place, source } of seen.open) {
    if (place !== undefined && isStated.has(key({ source, epoch: place.epoch }))) {
      const of = key({ source, epoch: place.epoch });
      const entries = open.get(of) ?? [];
      entries.push({ index, sequence: place.sequence });
      open.set(of, entries);
    } else report(`the columns epoch and source_seq of entry ${index} name no number that the state knows`, index);
  }
  const passed = new Map<string, Set<number>>();
  for (const one of stored.passed) passed.set(key(one), (passed.get(key(one)) ?? new Set()).add(one.sequence));
  for (const source of stored.sources) {
    const after = recorded.get(key(source)) ?? 0;
    if (source.sequence !== after)
      report(`the state says that ${source.source} is recorded up to ${source.sequence}, and it is up to ${after}`);
    const without = passed.get(key(source)) ?? new Set();
    const entries = open.get(key(source)) ?? [];
    const expected: number[] = [];
    for (let number = after + 1; expected.length < entries.length; number++) {
      if (!without.has(number)) expected.push(number);
    }
    const wanted =
      source.last - after - [...without].filter((number) => number > after && number <= source.last).length;
    if (entries.length !== wanted) {
      const from = entries.find(({ sequence }, i) => sequence !== expected[i]) ?? entries.at(-1);
      const what = `${entries.length} entries for ${wanted} numbers up to ${source.last}`;
      report(`the state of ${source.source} does not fit to its entries that are not recorded: ${what}`, from?.index);
      continue;
    }
    for (const [i, { index, sequence }] of entries.entries()) {
      if (sequence !== expected[i])
        report(`the column source_seq of entry ${index} is not the number that follows there`, index);
    }
  }
  return faults;
}

/** Numbers without an entry of their own, as a signed record names them. */
export interface RecordedPassed {
  /** Where the record stands. */
  readonly record: number;
  readonly numbers: readonly PassedNumber[];
}

/** What the database says of these numbers must be what the record says. */
export function passedFaults({ record, numbers }: RecordedPassed, stored: readonly PassedNumber[]): Fault[] {
  const text = ({ source, epoch, sequence, kind, index }: PassedNumber) =>
    JSON.stringify([source, epoch, sequence, kind, index]);
  const [said, kept] = [new Set(numbers.map(text)), new Set(stored.map(text))];
  // The recorded one comes last: it names the entry.
  const odd = [...stored.filter((one) => !said.has(text(one))), ...numbers.filter((one) => !kept.has(text(one)))];
  const named = new Map(odd.map((one) => [`number ${one.sequence} of ${one.source}`, one.index]));
  return [...named].map(([what, index]) => ({
    kind: 'altered',
    index,
    detail: `what is kept of ${what}, without an entry of its own, is not what the record of sources at entry ${record} says`,
  }));
}
