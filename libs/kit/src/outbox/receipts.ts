import type { Database, Queryable, Tx } from '../database.js';
import type { Logger } from '../log.js';
import type { Batch, Cursor } from './batch.js';
import { restartSetBack } from './origin.js';
import type { Rewound } from './origin.js';
import { provenMax } from './prove-events.js';
import type { ProveOptions } from './prove-events.js';
import { pruneProven } from './proven-prune.js';
import { keepReceipt, prune, rewind } from './receipt-state.js';
import { ReceiptWatch } from './receipt-watch.js';
import type { Receipt, WatchOptions } from './receipt-watch.js';

export interface ReceiptOptions extends WatchOptions {
  /** How entries are proven before they are forgotten. Without it the log is taken at its word. */
  readonly prove?: ProveOptions | undefined;
  /** Called in a transaction, to record that numbers are published again. */
  readonly onRewound?: (tx: Tx, rewound: Rewound) => Promise<void>;
}

interface KeeperParts {
  readonly database: Database;
  readonly source: string;
  readonly options: ReceiptOptions;
  readonly log: Logger;
  /** There is something new to {@link ReceiptKeeper.look} at. */
  readonly onAnswer: () => void;
}

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
  readonly #watch: ReceiptWatch;
  #prunedAt = -Infinity;
  #isProving = false;

  constructor(parts: KeeperParts) {
    const { database, source, options, log, onAnswer } = parts;
    this.#database = database;
    this.#source = source;
    this.#options = options;
    this.#log = log;
    this.#watch = new ReceiptWatch({ source, options, log, onAnswer });
  }

  /** Settles the last answer, asks again when it is time, and says how many entries may go out now. */
  async look(database: Queryable, { cursor, entries }: Batch, isWhole: boolean): Promise<number | 'read again'> {
    const { aheadMax = 4_000 } = this.#options;
    const answer = this.#watch.take(cursor.epoch);
    if (answer !== undefined) {
      // The log knows numbers that exist neither behind the cursor nor before it: this outbox was set back.
      if (isWhole && BigInt(answer.sequence) > cursor.seq + BigInt(entries.length)) {
        await restartSetBack(database, {
          database: this.#database,
          source: this.#source,
          onRewound: this.#options.onRewound,
          log: this.#log,
        });
        return 'read again';
      }
      if (await this.#settle(database, cursor, answer)) return 'read again';
    }
    const receipted = Math.max(Number(cursor.receiptSeq), answer?.sequence ?? 0);
    const ahead = Number(cursor.seq) - receipted;
    this.#watch.ask(cursor.epoch, ahead + entries.length > aheadMax / 2);
    await this.#prune(database);
    return Math.max(0, aheadMax - ahead);
  }

  /** True when the cursor was moved back. */
  async #settle(database: Queryable, cursor: Cursor, { sequence, checkpoint }: Receipt): Promise<boolean> {
    const known = Number(cursor.receiptSeq);
    if (sequence > known && BigInt(sequence) <= cursor.seq) {
      await keepReceipt(database, { source: this.#source, cursor, sequence, checkpoint });
    }
    if (!this.#watch.isStalled(sequence, cursor.seq)) return false;
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

  async #prune(database: Queryable): Promise<void> {
    const now = performance.now();
    if (now - this.#prunedAt < pruneEveryMs) return;
    if (this.#options.prove !== undefined) {
      this.#pruneInBackground(this.#options.prove, now);
      return;
    }
    const pruned = await prune(database, pruneRows);
    if (pruned < pruneRows) this.#prunedAt = now;
    if (pruned > 0) this.#log.info({ source: this.#source, pruned }, 'outbox.pruned');
  }

  /** Not in the way of publishing: the log may take its time, or be away. */
  #pruneInBackground(prove: ProveOptions, now: number): void {
    if (this.#isProving) return;
    this.#isProving = true;
    const source = this.#source;
    void pruneProven(this.#database, source, prove)
      .then((outcome) => {
        if ('fault' in outcome) this.#log.error({ source, reason: outcome.fault }, 'outbox.log_not_believed');
        else if (outcome.pruned > 0) this.#log.info({ source, pruned: outcome.pruned }, 'outbox.pruned');
        if ('fault' in outcome || outcome.pruned < provenMax) this.#prunedAt = now;
      })
      .catch((error: unknown) => {
        this.#prunedAt = now;
        this.#log.debug({ source, err: error }, 'outbox.no_proof');
      })
      .finally(() => {
        this.#isProving = false;
      });
  }
}
