import type { Logger } from '../log.js';

/** What the log answers: it holds every number of the epoch up to `sequence`. */
export interface Receipt {
  readonly sequence: number;
  /** The log's signed state at that time, if there is one. */
  readonly checkpoint: string | null;
}

export interface WatchOptions {
  /** Asks the log. Rejects when there is no answer; that is no reason for anything but asking again. */
  readonly ask: (place: { readonly source: string; readonly epoch: string }) => Promise<Receipt>;
  readonly intervalMs?: number;
  /** How long a receipt may stand still behind what is published before all of that is published again. */
  readonly patienceMs?: number;
  /**
   * How many numbers may be published beyond the receipt. All sources together have to stay below what the consumer
   * may leave unacknowledged: behind a gap nothing is acknowledged, and what fills it comes last.
   */
  readonly aheadMax?: number;
}

/** Of what may be published beyond the receipt half is out: the answer comes before the other half is. */
const soonMs = 25;

interface WatchParts {
  readonly source: string;
  readonly options: WatchOptions;
  readonly log: Logger;
  /** There is an answer to take. */
  readonly onAnswer?: () => void;
}

/**
 * Asks the log how far it has come with a source, in the background, and notices when it has not come further for too
 * long. Keeps nothing that outlives the process, and does not care where the source keeps its entries.
 */
export class ReceiptWatch {
  readonly #source: string;
  readonly #options: WatchOptions;
  readonly #log: Logger;
  readonly #onAnswer: () => void;
  #askedAt = -Infinity;
  #isAsking = false;
  #answer: (Receipt & { readonly epoch: string }) | undefined;
  #stalled: { readonly sequence: number; readonly since: number } | undefined;

  constructor({ source, options, log, onAnswer = () => undefined }: WatchParts) {
    this.#source = source;
    this.#options = options;
    this.#log = log;
    this.#onAnswer = onAnswer;
  }

  /** The last answer, once; one about another epoch is none. */
  take(epoch: string): Receipt | undefined {
    const answer = this.#answer;
    this.#answer = undefined;
    return answer?.epoch === epoch ? answer : undefined;
  }

  /**
   * Whether the log has stood at `sequence` for longer than the patience allows, while `published` is further on: then
   * the transport has lost something. True once, and again only after as long a time.
   */
  isStalled(sequence: number, published: bigint): boolean {
    const { patienceMs = 30_000 } = this.#options;
    if (BigInt(sequence) >= published) {
      this.#stalled = undefined;
      return false;
    }
    const now = performance.now();
    if (this.#stalled?.sequence !== sequence) this.#stalled = { sequence, since: now };
    if (now - this.#stalled.since < patienceMs) return false;
    this.#stalled = undefined;
    return true;
  }

  /** In the background: the log may be away, and events go on being published meanwhile. */
  ask(epoch: string, isUrgent: boolean): void {
    const { ask, intervalMs = 5_000 } = this.#options;
    const source = this.#source;
    const now = performance.now();
    if (this.#isAsking || now - this.#askedAt < (isUrgent ? Math.min(soonMs, intervalMs) : intervalMs)) return;
    this.#askedAt = now;
    this.#isAsking = true;
    void ask({ source, epoch })
      .then((receipt) => {
        this.#answer = { ...receipt, epoch };
        this.#onAnswer();
      })
      .catch((error: unknown) => {
        this.#log.debug({ source, err: error }, 'relay.no_receipt');
      })
      .finally(() => {
        this.#isAsking = false;
      });
  }
}
