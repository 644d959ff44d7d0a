const shardCount = 256;

/**
 * An immutable map whose copies share everything that did not change: replacing one of 100,000 entries copies some
 * four hundred. Two maps that descend from one another are compared shard by shard, so a small difference is found fast.
 */
export class ShardedMap<V> {
  readonly #shards: readonly ReadonlyMap<string, V>[];
  readonly size: number;

  private constructor(shards: readonly ReadonlyMap<string, V>[], size: number) {
    this.#shards = shards;
    this.size = size;
  }

  static empty<V>(): ShardedMap<V> {
    return new ShardedMap<V>(new Array<ReadonlyMap<string, V>>(shardCount).fill(new Map()), 0);
  }

  get(key: string): V | undefined {
    return this.#shards[shardOf(key)]?.get(key);
  }

  *entries(): IterableIterator<[string, V]> {
    for (const shard of this.#shards) yield* shard.entries();
  }

  /** Keys whose value is not the same object (or primitive) in both maps; `undefined` stands for "not there". */
  *changedSince(before: ShardedMap<V>): IterableIterator<{ key: string; before: V | undefined; after: V | undefined }> {
    for (const [index, after] of this.#shards.entries()) {
      const old = before.#shards[index];
      if (old === undefined || old === after) continue;
      for (const [key, value] of after) if (old.get(key) !== value) yield { key, before: old.get(key), after: value };
      for (const [key, value] of old) if (!after.has(key)) yield { key, before: value, after: undefined };
    }
  }

  /** A copy that may be written; `seal` ends that. Each shard is copied at most once, on its first write. */
  edit(): ShardedMapDraft<V> {
    return new ShardedMapDraft(this.#shards, this.size, (shards, size) => new ShardedMap(shards, size));
  }
}

export class ShardedMapDraft<V> {
  readonly #shards: ReadonlyMap<string, V>[];
  readonly #owned = new Map<number, Map<string, V>>();
  readonly #make: (shards: readonly ReadonlyMap<string, V>[], size: number) => ShardedMap<V>;
  #size: number;

  constructor(
    shards: readonly ReadonlyMap<string, V>[],
    size: number,
    make: (shards: readonly ReadonlyMap<string, V>[], size: number) => ShardedMap<V>,
  ) {
    this.#shards = [...shards];
    this.#size = size;
    this.#make = make;
  }

  get(key: string): V | undefined {
    return this.#shards[shardOf(key)]?.get(key);
  }

  set(key: string, value: V): void {
    const shard = this.#own(shardOf(key));
    if (!shard.has(key)) this.#size++;
    shard.set(key, value);
  }

  delete(key: string): void {
    const shard = this.#own(shardOf(key));
    if (shard.delete(key)) this.#size--;
  }

  seal(): ShardedMap<V> {
    return this.#make(this.#shards, this.#size);
  }

  #own(index: number): Map<string, V> {
    const owned = this.#owned.get(index);
    if (owned !== undefined) return owned;
    const copy = new Map(this.#shards[index]);
    this.#owned.set(index, copy);
    this.#shards[index] = copy;
    return copy;
  }
}

/** Spreads by the end of the key: the end of a time-ordered id is its random part. */
function shardOf(key: string): number {
  let hash = key.length;
  for (let i = Math.max(0, key.length - 8); i < key.length; i++) hash = Math.imul(hash, 31) + key.charCodeAt(i);
  return hash & (shardCount - 1);
}
