const silencesMax = 5;
const pauseMs = 500;
/** A refusal that comes faster than this costs nobody anything; only waiting does. */
const slowMs = 200;

/**
 * A circuit breaker as a state machine over a clock that is passed in. Closed: everything is admitted. After five
 * slow silences in a row it opens: nothing is admitted for half a second, then one probe at a time, until one of them
 * is answered.
 */
export class Circuit {
  #silences = 0;
  #nextProbeAtMs = Number.POSITIVE_INFINITY;
  #isProbing = false;

  get isOpen(): boolean {
    return this.#nextProbeAtMs !== Number.POSITIVE_INFINITY;
  }

  /** Whether a call may be made now. A call that was admitted must report its end. */
  admits(nowMs: number): boolean {
    if (!this.isOpen) return true;
    if (this.#isProbing || nowMs < this.#nextProbeAtMs) return false;
    this.#isProbing = true;
    return true;
  }

  /** The other side has answered, whatever it said. Answers true when that closed the circuit. */
  onAnswer(): boolean {
    const wasOpen = this.isOpen;
    this.#silences = 0;
    this.#isProbing = false;
    this.#nextProbeAtMs = Number.POSITIVE_INFINITY;
    return wasOpen;
  }

  /** There was no answer. Answers true when that opened the circuit. */
  onSilence(startedAtMs: number, nowMs: number): boolean {
    const wasOpen = this.isOpen;
    this.#isProbing = false;
    if (!wasOpen && nowMs - startedAtMs < slowMs) return false;
    this.#silences += 1;
    if (!wasOpen && this.#silences < silencesMax) return false;
    this.#nextProbeAtMs = nowMs + pauseMs;
    return !wasOpen;
  }
}
