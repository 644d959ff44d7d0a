import { getRandomValues } from 'node:crypto';
import { ShardedMap, type ShardedMapDraft } from './sharded-map.js';

/** Four words of the id, its number, and padding to half a cache line: a look-up waits for one line. */
const rowWords = 8;
const valueAt = 4;
const shardCount = 256;
const rowsAtFirst = 8;
/** So that nobody who chooses ids can make them fall on one another. */
const [seed = 0] = getRandomValues(new Int32Array(1));

interface Shard {
  readonly rows: Int32Array;
  /** The id of each row. */
  readonly ids: readonly (string | undefined)[];
  readonly size: number;
}

const emptyShard: Shard = { rows: new Int32Array(rowsAtFirst * rowWords), ids: [], size: 0 };

/**
 * An immutable map from ids to positive integers whose copies share what did not change. It keeps the ids as numbers
 * beside their values: in a `Map` of 100,000 the bucket, the entry and the text of the key each wait for memory, here
 * one row does. A key that is no UUID in lower case is kept as well, in a map of its own.
 */
export class UuidTable {
  readonly #shards: readonly Shard[];
  readonly #others: ShardedMap<number>;
  readonly size: number;

  private constructor(shards: readonly Shard[], others: ShardedMap<number>) {
    this.#shards = shards;
    this.#others = others;
    this.size = shards.reduce((sum, shard) => sum + shard.size, others.size);
  }

  static empty(): UuidTable {
    return new UuidTable(new Array<Shard>(shardCount).fill(emptyShard), ShardedMap.empty());
  }

  /** The number of `id`, or 0. */
  get(id: string): number {
    return readWords(id) ? numberIn(this.#shards) : (this.#others.get(id) ?? 0);
  }

  *entries(): IterableIterator<[string, number]> {
    for (const shard of this.#shards) yield* entriesOf(shard);
    yield* this.#others.entries();
  }

  /** Ids whose number is not the same in both tables; 0 stands for "not there". */
  *changedSince(before: UuidTable): IterableIterator<{ id: string; before: number; after: number }> {
    for (const [index, shard] of this.#shards.entries()) {
      const old = before.#shards[index];
      if (old === shard) continue;
      for (const [id, after] of entriesOf(shard)) {
        const was = before.get(id);
        if (was !== after) yield { id, before: was, after };
      }
    }
    for (const { key: id, before: was = 0, after = 0 } of this.#others.changedSince(before.#others))
      yield { id, before: was, after };
  }

  /** A copy that may be written; `seal` ends that. Each shard is copied at most once, on its first write. */
  edit(): UuidTableDraft {
    return new UuidTableDraft(this.#shards, this.#others, (shards, others) => new UuidTable(shards, others));
  }
}

interface OwnShard {
  rows: Int32Array;
  ids: (string | undefined)[];
  size: number;
}

/** Nothing is taken out again: what has once had a number keeps one. */
export class UuidTableDraft {
  readonly #shards: Shard[];
  readonly #owned = new Map<number, OwnShard>();
  readonly #others: ShardedMapDraft<number>;
  readonly #make: (shards: readonly Shard[], others: ShardedMap<number>) => UuidTable;

  constructor(
    shards: readonly Shard[],
    others: ShardedMap<number>,
    make: (shards: readonly Shard[], others: ShardedMap<number>) => UuidTable,
  ) {
    this.#shards = [...shards];
    this.#others = others.edit();
    this.#make = make;
  }

  get(id: string): number {
    return readWords(id) ? numberIn(this.#shards) : (this.#others.get(id) ?? 0);
  }

  set(id: string, value: number): void {
    if (!Number.isInteger(value) || value < 1 || value >= 2 ** 31) throw new RangeError('not a positive 32-bit number');
    if (!readWords(id)) {
      this.#others.set(id, value);
      return;
    }
    const hash = hashOfWords();
    const shard = this.#own(hash & (shardCount - 1));
    const at = rowOf(shard.rows, hash);
    const isNew = shard.rows[at + valueAt] === 0;
    shard.rows.set(words, at);
    shard.rows[at + valueAt] = value;
    if (!isNew) return;
    shard.ids[at / rowWords] = id;
    shard.size++;
    // At least an eighth stays free: that ends every search, and keeps it short.
    if (shard.size * 8 > (shard.rows.length / rowWords) * 7) enlarge(shard);
  }

  seal(): UuidTable {
    return this.#make(this.#shards, this.#others.seal());
  }

  #own(index: number): OwnShard {
    const owned = this.#owned.get(index);
    if (owned !== undefined) return owned;
    const { rows, ids, size } = this.#shards[index] ?? emptyShard;
    const copy = { rows: rows.slice(), ids: [...ids], size };
    this.#owned.set(index, copy);
    this.#shards[index] = copy;
    return copy;
  }
}

function enlarge(shard: OwnShard): void {
  const { rows, ids } = shard;
  shard.rows = new Int32Array(rows.length * 2);
  shard.ids = [];
  for (const [row, id] of ids.entries()) {
    if (id === undefined) continue;
    words.set(rows.subarray(row * rowWords, row * rowWords + valueAt));
    const at = rowOf(shard.rows, hashOfWords());
    shard.rows.set(rows.subarray(row * rowWords, (row + 1) * rowWords), at);
    shard.ids[at / rowWords] = id;
  }
}

function* entriesOf({ rows, ids }: Shard): IterableIterator<[string, number]> {
  for (const [row, id] of ids.entries()) if (id !== undefined) yield [id, rows[row * rowWords + valueAt] ?? 0];
}

/** The id in hand. Written and read within one call, never across. */
const words = new Int32Array(valueAt);

/** Where the id in `words` stands, or the free row where it belongs. */
function rowOf(rows: Int32Array, hash: number): number {
  const last = rows.length - 1;
  for (let at = ((hash >>> 8) * rowWords) & last; ; at = (at + rowWords) & last) {
    if (rows[at + valueAt] === 0) return at;
    if (rows[at + 3] === words[3] && rows[at + 2] === words[2] && rows[at + 1] === words[1] && rows[at] === words[0]) {
      return at;
    }
  }
}

/** The number of the id in `words`, or 0. */
function numberIn(shards: readonly Shard[]): number {
  const hash = hashOfWords();
  const { rows } = shards[hash & (shardCount - 1)] ?? emptyShard;
  return rows[rowOf(rows, hash) + valueAt] ?? 0;
}

function hashOfWords(): number {
  let hash = seed;
  for (let i = 0; i < valueAt; i++) {
    hash = Math.imul(hash ^ (words[i] ?? 0), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return hash >>> 0;
}

const dash = 0x2d;
const dashesAt = [8, 13, 18, 23];
const digitOf = new Int8Array(128).fill(-1);
for (let value = 0; value < 16; value++) digitOf[value.toString(16).charCodeAt(0)] = value;

/** Reads a UUID in its one canonical spelling, so that no two texts give the same words; false for every other text. */
function readWords(id: string): boolean {
  if (id.length !== 36) return false;
  for (const at of dashesAt) if (id.charCodeAt(at) !== dash) return false;
  const [a, b, c, d] = [fourDigits(id, 0), fourDigits(id, 4), fourDigits(id, 9), fourDigits(id, 14)];
  const [e, f, g, h] = [fourDigits(id, 19), fourDigits(id, 24), fourDigits(id, 28), fourDigits(id, 32)];
  words[0] = (a << 16) | b;
  words[1] = (c << 16) | d;
  words[2] = (e << 16) | f;
  words[3] = (g << 16) | h;
  return (a | b | c | d | e | f | g | h) >= 0;
}

/** Their value, or something negative when one of them is no digit. */
function fourDigits(text: string, at: number): number {
  const [a, b] = [digitAt(text, at), digitAt(text, at + 1)];
  const [c, d] = [digitAt(text, at + 2), digitAt(text, at + 3)];
  return (a << 12) | (b << 8) | (c << 4) | d;
}

function digitAt(text: string, at: number): number {
  return digitOf[text.charCodeAt(at)] ?? -1;
}
