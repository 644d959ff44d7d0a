/** A set of small integers, 32 to a word. Never changed after it was built; words beyond the end count as zero. */
export type Bitset = Uint32Array;

export const emptyBitset: Bitset = new Uint32Array(0);

export function hasBit(bits: Bitset, index: number): boolean {
  return ((bits[index >>> 5] ?? 0) & (1 << (index & 31))) !== 0;
}

export function bitsetOf(indexes: Iterable<number>): Bitset {
  const list = [...indexes];
  const bits = new Uint32Array(list.length === 0 ? 0 : (Math.max(...list) >>> 5) + 1);
  for (const index of list) bits[index >>> 5] = (bits[index >>> 5] ?? 0) | (1 << (index & 31));
  return bits;
}

export function union(sets: Iterable<Bitset>): Bitset {
  const list = [...sets];
  const result = new Uint32Array(list.reduce((length, bits) => Math.max(length, bits.length), 0));
  for (const bits of list)
    for (let word = 0; word < bits.length; word++) result[word] = (result[word] ?? 0) | (bits[word] ?? 0);
  return result;
}

export function intersection(a: Bitset, b: Bitset): Bitset {
  return a.map((word, i) => word & (b[i] ?? 0));
}

/** Members of `a` that are not in `b`. */
export function minus(a: Bitset, b: Bitset): Bitset {
  return a.map((word, i) => word & ~(b[i] ?? 0));
}

export function isEmpty(bits: Bitset): boolean {
  return bits.every((word) => word === 0);
}

export function isSubset(a: Bitset, b: Bitset): boolean {
  return a.every((word, i) => (word & ~(b[i] ?? 0)) === 0);
}

/** Members in ascending order. */
export function* members(bits: Bitset): IterableIterator<number> {
  for (let word = 0; word < bits.length; word++) {
    for (let rest = bits[word] ?? 0; rest !== 0; rest &= rest - 1) yield word * 32 + (31 - Math.clz32(rest & -rest));
  }
}
