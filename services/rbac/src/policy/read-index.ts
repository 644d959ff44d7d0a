/**
 * Shares one read among everybody who asked before it was sent, and never with somebody who asked later: the answer
 * is at least as new as each caller's question. At most one read is under way and one is gathering callers.
 */
export class ReadIndex<T> {
  readonly #read: () => Promise<T>;
  #underWay: Promise<unknown> = Promise.resolve();
  #gathering: Promise<T> | undefined;

  /** `read` has to settle in bounded time: the next batch waits for it. */
  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  ask(): Promise<T> {
    this.#gathering ??= this.#underWay.then(
      () => this.#send(),
      () => this.#send(),
    );
    return this.#gathering;
  }

  #send(): Promise<T> {
    this.#gathering = undefined;
    const sent = this.#read();
    this.#underWay = sent;
    return sent;
  }
}
