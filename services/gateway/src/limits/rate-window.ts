/** A window is kept as this many stretches: a request is forgotten together with the others of its stretch. */
export const stretches = 100;

export interface Taken {
  /** How many of the requests fit. */
  readonly taken: number;
  /** How many count now. */
  readonly used: number;
  /** Milliseconds until the oldest stop counting. 0 when none counts. */
  readonly freeInMs: number;
}

interface Stretch {
  readonly index: number;
  count: number;
  lastMs: number;
}

/**
 * Counts one client's requests in a window that slides: in no stretch of time as long as the window are more than
 * `max` taken, at whatever edge it begins. A request that did not fit does not count. Memory is bounded, whatever
 * `max` is, for a price on the strict side: a request counts up to one hundredth of the window longer.
 * `shared-counter.store` does the same in Redis.
 */
export class RateWindow {
  readonly #max: number;
  readonly #windowMs: number;
  readonly #stretches: Stretch[] = [];
  #used = 0;

  constructor(max: number, windowSeconds: number) {
    this.#max = max;
    this.#windowMs = windowSeconds * 1000;
  }

  /** How many of `count` would fit now. */
  room(count: number, nowMs: number): number {
    this.#forget(nowMs);
    return Math.min(count, Math.max(0, this.#max - this.#used));
  }

  /** `count` is at most what {@link room} has just answered. */
  take(count: number, nowMs: number): Taken {
    this.#forget(nowMs);
    if (count > 0) {
      const index = Math.floor(nowMs / (this.#windowMs / stretches));
      const last = this.#stretches.at(-1);
      if (last?.index === index) {
        last.count += count;
        last.lastMs = nowMs;
      } else this.#stretches.push({ index, count, lastMs: nowMs });
      this.#used += count;
    }
    const [oldest] = this.#stretches;
    return {
      taken: count,
      used: this.#used,
      freeInMs: oldest === undefined ? 0 : oldest.lastMs + this.#windowMs - nowMs,
    };
  }

  #forget(nowMs: number): void {
    for (;;) {
      const [oldest] = this.#stretches;
      if (oldest === undefined || oldest.lastMs + this.#windowMs > nowMs) return;
      this.#used -= oldest.count;
      this.#stretches.shift();
    }
  }
}
