import { placeKey } from './sequence.js';

/** A number of a source: the numbering and the place in it. */
export interface Place {
  readonly epoch: string;
  readonly sequence: number;
}

/** Where an entry of the log stands in its source's sequence; no place: the log wrote it itself. */
export interface PlacedEntry {
  readonly index: number;
  readonly source: string;
  readonly place: Place | undefined;
}

/**
 * A number that was taken without an entry of its own: the message is in quarantine (`index` is the entry that says
 * so), or its event was in the log already (`index` is that entry).
 */
export interface PassedNumber {
  readonly source: string;
  readonly epoch: string;
  readonly sequence: number;
  readonly kind: 'quarantined' | 'repeated';
  readonly index: number;
}

/** How far a source's sequence has been accounted for by earlier records. */
export interface RecordedSource {
  readonly source: string;
  readonly epoch: string;
  readonly sequence: number;
}

/**
 * What a record says of one source: the numbers after `after` up to `sequence` stand at these entries. `entries` are
 * runs `[index, count]` in the order of the numbers, without those named in `passed` as `[sequence, index, kind]`.
 */
export interface SourceAccount {
  readonly source: string;
  readonly epoch: string;
  readonly after: number;
  readonly sequence: number;
  readonly entries: readonly (readonly [number, number])[];
  readonly passed: readonly (readonly [number, number, PassedNumber['kind']])[];
}

/** The accounts of the entries given, by source, and those entries that fit in none: numbers before them are missing. */
export function accountSources(
  entries: readonly PlacedEntry[],
  passed: readonly PassedNumber[],
  recorded: readonly RecordedSource[],
): { accounts: SourceAccount[]; unaccounted: PlacedEntry[] } {
  const key = ({ source, epoch }: { source: string; epoch: string }) => placeKey(source, epoch);
  const numbers = new Map<string, { source: string; epoch: string; at: Map<number, PlacedEntry | PassedNumber> }>();
  const numbersOf = (of: { source: string; epoch: string }) => {
    const known = numbers.get(key(of)) ?? { source: of.source, epoch: of.epoch, at: new Map() };
    numbers.set(key(of), known);
    return known.at;
  };
  for (const entry of entries) {
    const { source, place } = entry;
    if (place !== undefined) numbersOf({ source, epoch: place.epoch }).set(place.sequence, entry);
  }
  for (const number of passed) numbersOf(number).set(number.sequence, number);

  const last = new Map(recorded.map((source) => [key(source), source.sequence]));
  const accounted = new Set<PlacedEntry>();
  const accounts = [...numbers.values()].flatMap(({ source, epoch, at }): SourceAccount[] => {
    const after = last.get(key({ source, epoch })) ?? 0;
    const runs: [number, number][] = [];
    const without: [number, number, PassedNumber['kind']][] = [];
    let [sequence, before] = [after, -1];
    for (let held = at.get(sequence + 1); held !== undefined; held = at.get(sequence + 1)) {
      if ('kind' in held) {
        without.push([++sequence, held.index, held.kind]);
        continue;
      }
      // The sequencer takes numbers in order: one that goes back was put there by somebody else.
      if (held.index < before) break;
      before = held.index;
      sequence++;
      accounted.add(held);
      const run = runs.at(-1);
      if (run !== undefined && run[0] + run[1] === held.index) run[1]++;
      else runs.push([held.index, 1]);
    }
    return sequence === after ? [] : [{ source, epoch, after, sequence, entries: runs, passed: without }];
  });
  return { accounts, unaccounted: entries.filter((e) => e.place !== undefined && !accounted.has(e)) };
}
