import { type Bitset, emptyBitset } from './bitset.js';

/** Copied as one when a row in it changes. */
const blockShift = 6;
const rowsPerBlock = 1 << blockShift;
/** Rows are lengthened by this much, so that it happens once for every 256 new members. */
const widthStep = 8;

/**
 * Many bitsets side by side, each known by its number: what is kept of one is its bits and nothing else, and a look
 * into it waits for memory once. Immutable; copies share the blocks that did not change.
 */
export class BitRows {
  readonly #blocks: readonly Bitset[];
  /** Words of each row. */
  readonly #width: number;

  private constructor(blocks: readonly Bitset[], width: number) {
    this.#blocks = blocks;
    this.#width = width;
  }

  static empty(): BitRows {
    return new BitRows([], 0);
  }

  has(row: number, index: number): boolean {
    return (this.#word(row, index >>> 5) & (1 << (index & 31))) !== 0;
  }

  /** The row as a set of its own; empty when it was never set. */
  row(row: number): Bitset {
    const at = (row & (rowsPerBlock - 1)) * this.#width;
    return this.#blocks[row >>> blockShift]?.slice(at, at + this.#width) ?? emptyBitset;
  }

  /** Whether the row holds all of `bits`. */
  holds(row: number, bits: Bitset): boolean {
    return bits.every((needed, word) => (needed & ~this.#word(row, word)) === 0);
  }

  /** Whether the row is the same set in both. */
  isSame(row: number, other: BitRows): boolean {
    const block = row >>> blockShift;
    if (this.#width === other.#width && this.#blocks[block] === other.#blocks[block]) return true;
    for (let word = 0; word < Math.max(this.#width, other.#width); word++)
      if (this.#word(row, word) !== other.#word(row, word)) return false;
    return true;
  }

  /** A copy that may be written; `seal` ends that. Each block is copied at most once, on its first write. */
  edit(): BitRowsDraft {
    return new BitRowsDraft(this.#blocks, this.#width, (blocks, width) => new BitRows(blocks, width));
  }

  /** Words beyond the end of the row count as zero: they would be those of the next row. */
  #word(row: number, word: number): number {
    if (word >= this.#width) return 0;
    return this.#blocks[row >>> blockShift]?.[(row & (rowsPerBlock - 1)) * this.#width + word] ?? 0;
  }
}

export class BitRowsDraft {
  #blocks: Bitset[];
  #width: number;
  readonly #owned = new Set<number>();
  readonly #make: (blocks: readonly Bitset[], width: number) => BitRows;

  constructor(blocks: readonly Bitset[], width: number, make: (blocks: readonly Bitset[], width: number) => BitRows) {
    this.#blocks = [...blocks];
    this.#width = width;
    this.#make = make;
  }

  set(row: number, bits: Bitset): void {
    if (bits.length > this.#width) this.#widen(bits.length);
    const block = this.#own(row >>> blockShift);
    const at = (row & (rowsPerBlock - 1)) * this.#width;
    block.fill(0, at, at + this.#width);
    block.set(bits, at);
  }

  seal(): BitRows {
    return this.#make(this.#blocks, this.#width);
  }

  #own(index: number): Bitset {
    const before = this.#blocks[index];
    if (before !== undefined && this.#owned.has(index)) return before;
    const block = before?.slice() ?? new Uint32Array(rowsPerBlock * this.#width);
    while (this.#blocks.length < index) this.#blocks.push(new Uint32Array(rowsPerBlock * this.#width));
    this.#blocks[index] = block;
    this.#owned.add(index);
    return block;
  }

  #widen(words: number): void {
    const width = Math.ceil(words / widthStep) * widthStep;
    this.#blocks = this.#blocks.map((before, index) => {
      const block = new Uint32Array(rowsPerBlock * width);
      for (let row = 0; row < rowsPerBlock; row++)
        block.set(before.subarray(row * this.#width, (row + 1) * this.#width), row * width);
      this.#owned.add(index);
      return block;
    });
    this.#width = width;
  }
}
