/**
 * One at a time per key, in the order of asking, within this process. It decides nothing: correctness is the
 * database's. It keeps a crowd that wants the same row waiting here, in memory, instead of each of them holding a
 * connection that everybody else needs.
 */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  async take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const mine = before === undefined ? work() : before.then(work, work);
    this.#last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    }
  }

  /** Keys that somebody is working on now. */
  get size(): number {
    return this.#last.size;
  }
}
