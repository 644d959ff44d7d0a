import type { Database, Queryable, Tx } from '../database.js';
import type { Logger } from '../log.js';
import type { Batch, Cursor } from './batch.js';
import { restartSetBack } from './origin.js';
import { keepReceipt, prune, rewind } from './receipt-state.js';

/** What the log answers: it holds every number of the epoch up to `sequence`. */
export interface Receipt {
  readonly sequence: number;
  /** The log's signed state at that time, if there is one. */
  readonly checkpoint: string | null;
}

/** Numbers after `to`, up to and including `from`, go out again. */
export interface Rewound {
  readonly epoch: string;
  readonly from: number;
  readonly to: number;
}

export interface ReceiptOptions {
  /** Asks the log. Rejects when there is no answer; that is no reason for anything but asking again. */
  readonly ask: (place: { readonly source: string; readonly epoch: string }) => Promise<Receipt>;
  /** Records in the same transaction that numbers are published again: what the transport lost stays visible. */
  readonly onRewound?: (tx: Tx, rewound: Rewound) => Promise<void>;
  readonly intervalMs?: number;
  /** How long a receipt may stand still behind what is published before all of that is published again. */
  readonly patienceMs?: number;
  /**
   * How many numbers may be published beyond the receipt. All sources together have to stay below what the consumer
   * may leave unacknowledged: behind a gap nothing is acknowledged, and what fills it comes last.
   */
  readonly aheadMax?: number;
}

const soonMs = 100;
const pruneEveryMs = 60_000;
const pruneRows = 5_000;

/**
 * Compares what is published with what the log has taken. While there is no receipt, entries stay in the outbox; a
 * receipt that stands still means that the transport has lost something, and everything after it is published again
 * under the same ids and numbers. One instance per leadership: it remembers nothing that the next one needs.
 */
export class ReceiptKeeper {
  readonly #database: Database;
  readonly #source: string;
  readonly #options: ReceiptOptions;
  readonly #log: Logger;
  #askedAt = -Infinity;
  #isAsking = false;
  #answer: (Receipt & { readonly epoch: string }) | undefined;
  #stalled: { readonly sequence: number; readonly since: number } | undefined;
  #prunedAt = -Infinity;

  constructor(parts: { database: Database; source: string; options: ReceiptOptions; log: Logger }) {
    const { database, source, options, log } = parts;
    this.#database = database;
    this.#source = source;
    this.#options = options;
    this.#log = log;
  }

  /** Settles the last answer, asks again when it is time, and says how many entries may go out now. */
  async look(database: Queryable, { cursor, entries }: Batch, isWhole: boolean): Promise<number | 'read again'> {
    const { aheadMax = 4_000 } = this.#options;
    const answer = this.#takeAnswer(cursor);
    if (answer !== undefined) {
      // The log knows numbers that exist neither behind the cursor nor before it: this outbox was set back.
      if (isWhole && BigInt(answer.sequence) > cursor.seq + BigInt(entries.length)) {
        await restartSetBack(database, this.#source, this.#log);
        return 'read again';
      }
      if (await this.#settle(database, cursor, answer)) return 'read again';
    }
    const receipted = Math.max(Number(cursor.receiptSeq), answer?.sequence ?? 0);
    const ahead = Number(cursor.seq) - receipted;
    this.#ask(cursor, ahead + entries.length > aheadMax / 2);
    await this.#prune(database);
    return Math.max(0, aheadMax - ahead);
  }

  #takeAnswer({ epoch }: Cursor): Receipt | undefined {
    const answer = this.#answer;
    this.#answer = undefined;
    return answer?.epoch === epoch ? answer : undefined;
  }

  /** True when the cursor was moved back. */
  async #settle(session: Queryable, cursor: Cursor, { sequence, checkpoint }: Receipt): Promise<boolean> {
    const { patienceMs = 30_000 } = this.#options;
    const known = Number(cursor.receiptSeq);
    if (sequence > known && BigInt(sequence) <= cursor.seq) {
      await keepReceipt(session, { source: this.#source, cursor, sequence, checkpoint });
    }
    if (BigInt(sequence) >= cursor.seq) {
      this.#stalled = undefined;
      return false;
    }
    const now = performance.now();
    if (this.#stalled?.sequence !== sequence) this.#stalled = { sequence, since: now };
    if (now - this.#stalled.since < patienceMs) return false;
    this.#stalled = undefined;
    const to = await this.#database.transaction((tx) => this.#rewind(tx, cursor, sequence));
    const fields = { source: this.#source, from: String(cursor.seq), receipt: sequence, to: to?.toString() };
    if (to !== undefined && to > BigInt(sequence)) this.#log.error(fields, 'relay.pruned_too_early');
    else this.#log.warn(fields, 'relay.rewound');
    return true;
  }

  /** A crash before the commit leaves neither; the next look rewinds again. */
  async #rewind(tx: Tx, cursor: Cursor, sequence: number): Promise<bigint | undefined> {
    const to = await rewind(tx, { source: this.#source, cursor, sequence });
    const rewound = { epoch: cursor.epoch, from: Number(cursor.seq), to: Number(to) };
    if (to !== undefined) await this.#options.onRewound?.(tx, rewound);
    return to;
  }

  /** In the background: the log may be away, and events go on being published meanwhile. */
  #ask({ epoch }: Cursor, isUrgent: boolean): void {
    const { ask, intervalMs = 5_000 } = this.#options;
    const source = this.#source;
    const now = performance.now();
    if (this.#isAsking || now - this.#askedAt < (isUrgent ? Math.min(soonMs, intervalMs) : intervalMs)) return;
    this.#askedAt = now;
    this.#isAsking = true;
    void ask({ source, epoch })
      .then((receipt) => {
        this.#answer = { ...receipt, epoch };
      })
      .catch((error: unknown) => {
        this.#log.debug({ source, err: error }, 'relay.no_receipt');
      })
      .finally(() => {
        this.#isAsking = false;
      });
  }

  async #prune(database: Queryable): Promise<void> {
    const now = performance.now();
    if (now - this.#prunedAt < pruneEveryMs) return;
    const pruned = await prune(database, pruneRows);
    if (pruned < pruneRows) this.#prunedAt = now;
    if (pruned > 0) this.#log.info({ source: this.#source, pruned }, 'outbox.pruned');
  }
}
