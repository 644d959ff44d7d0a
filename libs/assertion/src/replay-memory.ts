const entriesMaxDefault = 100_000;

/**
 * Remembers which assertions have been used until they would have expired anyway. Bounded: when it is full of
 * assertions that are still alive, it takes no new one, so that a flood makes a service refuse and never forget.
 * It belongs to one process; several processes of a service that share an audience share nothing here (see the
 * documentation for what that leaves open).
 */
export class ReplayMemory {
  /** Until when each is remembered, in epoch seconds, in order of arrival. */
  readonly #used = new Map<string, number>();
  readonly #entriesMax: number;

  constructor(entriesMax = entriesMaxDefault) {
    this.#entriesMax = entriesMax;
  }

  get size(): number {
    return this.#used.size;
  }

  /** Takes an assertion in. `used`: it was here before. `full`: there is no room to remember it. */
  take(jti: string, untilSeconds: number, nowSeconds: number): 'new' | 'used' | 'full' {
    const known = this.#used.get(jti);
    if (known !== undefined && known > nowSeconds) return 'used';
    if (this.#used.size >= this.#entriesMax) this.#forgetExpired(nowSeconds);
    if (this.#used.size >= this.#entriesMax) return 'full';
    this.#used.delete(jti);
    this.#used.set(jti, untilSeconds);
    return 'new';
  }

  #forgetExpired(nowSeconds: number): void {
    for (const [jti, until] of this.#used) if (until <= nowSeconds) this.#used.delete(jti);
  }
}
