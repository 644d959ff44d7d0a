/**
 * One at a time per key, in the order of asking, within this process. It decides nothing: correctness is the
 * database's. It keeps a crowd that wants the same row waiting here, in memory, instead of each of them holding a
 * connection that everybody else needs.
 */
export class Turns<T> {
  readonly #last = new Map<string, Promise<T>>();

  /** `work` is given what came out for the one before it in the line, if there was one and it did not fail. */
  async take(key: string, work: (before?: T) => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const mine =
      before === undefined
        ? work()
        : before.then(
            (outcome) => work(outcome),
            () => work(),
          );
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
