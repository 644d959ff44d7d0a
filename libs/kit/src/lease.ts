/** What a process reads the time from: `mono` never jumps, `wall` goes on while the machine is suspended. */
export interface Clocks {
  readonly monoMs: () => number;
  readonly wallMs: () => number;
}

export interface Moment {
  readonly monoMs: number;
  readonly wallMs: number;
}

/** The clocks of this process. */
export const systemClocks: Clocks = { monoMs: () => performance.now(), wallMs: () => Date.now() };

export function momentOf(clocks: Clocks): Moment {
  return { monoMs: clocks.monoMs(), wallMs: clocks.wallMs() };
}

/** How much faster or slower than the database's clock this machine's clock may run. The promise rests on this bound. */
export const clockRateErrorMax = 0.01;

/**
 * The right to decide without asking: while it is held, no change is answered that this process does not know.
 * Counted from the moment the request was sent, not from its answer: the database counts from later. Shortened by
 * the clock rate error: a slow clock must not stretch it past the end that the database has recorded. Both clocks have
 * to agree that it is held, because each stands still in a situation where the other one does not.
 */
export class Lease {
  readonly #durationMs: number;
  #sent: Moment | undefined;

  constructor(durationMs: number) {
    this.#durationMs = durationMs;
  }

  /** Call it only when everything up to the revision that the answer named has been applied. */
  renew(sent: Moment): void {
    this.#sent = sent;
  }

  drop(): void {
    this.#sent = undefined;
  }

  /** Read the clocks after the question has arrived, never before. */
  isHeld(now: Moment): boolean {
    return this.leftMs(now) > 0;
  }

  /** Since the renewal that it counts from; undefined while there is none. */
  ageMs(now: Moment): number | undefined {
    return this.#sent === undefined ? undefined : now.monoMs - this.#sent.monoMs;
  }

  leftMs(now: Moment): number {
    if (this.#sent === undefined) return 0;
    const monoAge = now.monoMs - this.#sent.monoMs;
    const wallAge = now.wallMs - this.#sent.wallMs;
    // A wall clock that was set back says nothing; one that leapt ahead ends the lease early, which is safe.
    return Math.max(0, this.#durationMs * (1 - clockRateErrorMax) - Math.max(monoAge, wallAge));
  }
}

/** The latest that the database's clock can show now, given what it showed in the answer to a request sent then. */
export function databaseTimeMax(anchor: { readonly databaseMs: number; readonly sent: Moment }, now: Moment): number {
  return anchor.databaseMs + (now.monoMs - anchor.sent.monoMs) / (1 - clockRateErrorMax);
}
