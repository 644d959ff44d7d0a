import { ShardedMap, type ShardedMapDraft } from './sharded-map.js';
import { UuidTable, type UuidTableDraft } from './uuid-table.js';

export interface TimedAssignment {
  readonly roleId: string;
  readonly expiresAtMs: number;
}

export interface PrincipalEntry {
  readonly isActive: boolean;
  /** Which set of roles holds those without an end. */
  readonly slot: number;
  readonly timed: readonly TimedAssignment[];
}

/**
 * What a decision needs of a principal, in one number: whether it is there, is active, has assignments that end, and
 * its slot. {@link noSeat} for one that is not there.
 */
export type Seat = number;
export const noSeat: Seat = 0;
const present = 1;
const active = 2;
const hasTimed = 4;
const slotShift = 3;
const slotsMax = 2 ** 28;

export const isSeatActive = (seat: Seat): boolean => (seat & active) !== 0;
export const isSeatTimed = (seat: Seat): boolean => (seat & hasTimed) !== 0;
export const slotOfSeat = (seat: Seat): number => seat >>> slotShift;

const noTimed: readonly TimedAssignment[] = [];

/** Every principal of a snapshot. Immutable; copies share what did not change. */
export class PrincipalTable {
  readonly #seats: UuidTable;
  /** Only of principals that have any. */
  readonly #timed: ShardedMap<readonly TimedAssignment[]>;

  constructor(seats = UuidTable.empty(), timed = ShardedMap.empty<readonly TimedAssignment[]>()) {
    this.#seats = seats;
    this.#timed = timed;
  }

  get size(): number {
    return this.#seats.size;
  }

  seatOf(id: string): Seat {
    return this.#seats.get(id);
  }

  timedOf(id: string): readonly TimedAssignment[] {
    return this.#timed.get(id) ?? noTimed;
  }

  get(id: string): PrincipalEntry | undefined {
    return this.#entryOf(id, this.seatOf(id));
  }

  *entries(): IterableIterator<[string, PrincipalEntry]> {
    for (const [id, seat] of this.#seats.entries()) {
      const entry = this.#entryOf(id, seat);
      if (entry !== undefined) yield [id, entry];
    }
  }

  /** Every principal that is not the same in both; one may be named twice. */
  *changedSince(before: PrincipalTable): IterableIterator<string> {
    for (const { id } of this.#seats.changedSince(before.#seats)) yield id;
    for (const { key } of this.#timed.changedSince(before.#timed)) yield key;
  }

  /** A copy that may be written; `seal` ends that. */
  edit(): PrincipalTableDraft {
    return new PrincipalTableDraft(this.#seats.edit(), this.#timed.edit());
  }

  #entryOf(id: string, seat: Seat): PrincipalEntry | undefined {
    if (seat === noSeat) return undefined;
    const timed = isSeatTimed(seat) ? this.timedOf(id) : noTimed;
    return { isActive: isSeatActive(seat), slot: slotOfSeat(seat), timed };
  }
}

export class PrincipalTableDraft {
  readonly #seats: UuidTableDraft;
  readonly #timed: ShardedMapDraft<readonly TimedAssignment[]>;

  constructor(seats: UuidTableDraft, timed: ShardedMapDraft<readonly TimedAssignment[]>) {
    this.#seats = seats;
    this.#timed = timed;
  }

  seatOf(id: string): Seat {
    return this.#seats.get(id);
  }

  set(id: string, { isActive, slot, timed }: PrincipalEntry): void {
    if (slot >= slotsMax) throw new RangeError('more distinct sets of roles than can be numbered');
    if (isSeatTimed(this.seatOf(id))) this.#timed.delete(id);
    if (timed.length > 0) this.#timed.set(id, timed);
    this.#seats.set(id, (slot << slotShift) | (timed.length > 0 ? hasTimed : 0) | (isActive ? active : 0) | present);
  }

  seal(): PrincipalTable {
    return new PrincipalTable(this.#seats.seal(), this.#timed.seal());
  }
}
