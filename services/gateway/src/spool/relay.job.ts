import { setTimeout as wait } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import { busHealth } from '@prime-nest/kit/bus/connection';
import type { Logger } from '@prime-nest/kit/log';
import type { Rewound } from '@prime-nest/kit/outbox/origin';
import { provenMax } from '@prime-nest/kit/outbox/prove-events';
import { publishBatch } from '@prime-nest/kit/outbox/publish';
import { ReceiptWatch } from '@prime-nest/kit/outbox/receipt-watch';
import type { WatchOptions } from '@prime-nest/kit/outbox/receipt-watch';
import { backoffMs } from '@prime-nest/kit/retry';
import type { Epoch } from './epoch.store.js';
import type { ProveRecordsCommand } from './prove-records.command.js';
import type { SpoolRecord } from './record-line.js';

export interface SpoolRelayOptions {
  readonly connection: NatsConnection;
  readonly receipts: WatchOptions;
  /** How records are proven before they are forgotten. Without it the log is taken at its word. */
  readonly prove: ProveRecordsCommand | undefined;
  readonly log: Logger;
  /** Lines that cannot be read any more: the folder was taken away. */
  readonly onGone: (lines: number) => void;
  /** Numbers that go out again: what JetStream lost stays visible. */
  readonly onRewound: (rewound: Rewound) => void;
  /** Writes records again under new numbers, and what they were; resolves when that is done or waits for the disk. */
  readonly renew: (records: readonly SpoolRecord[], rewound: Rewound) => Promise<void>;
}

interface Progress {
  readonly epoch: Epoch;
  readonly watch: ReceiptWatch;
  published: number;
  /** Everything up to here is in the log, as it says. */
  receipted: number;
  /** Everything up to here is in the log that it has signed. */
  proven: number;
  /** When it may be asked for a proof again. */
  proveAfter: number;
}

const source = 'gateway';
const idleMs = 100;
const batchMax = 200;
/** Few: all gateways together have to stay below what audit's consumer may leave unacknowledged. */
const aheadMax = 1_000;
/** A checkpoint covers an entry half a second after it came. */
const unprovenMs = 1_000;
const faultMs = 60_000;

/**
 * Publishes the records of epochs in order, each epoch under its own gapless numbering: every record at least once under
 * its event's id. Files go only when the log says that it has them, and proves it; a receipt that stands still makes
 * everything after it go out again. Remembers nothing on disk: whoever finds an epoch later publishes it from its start,
 * or from its receipt, and the log takes each event once.
 */
export class SpoolRelay {
  readonly #options: SpoolRelayOptions;
  readonly #epochs = new Map<string, Progress>();
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #failures = 0;
  #behindSince: number | undefined;
  #isHurrying = false;
  #isProving = false;

  constructor(options: SpoolRelayOptions) {
    this.#options = options;
  }

  add(epoch: Epoch): void {
    const { receipts: options, log } = this.#options;
    const watch = new ReceiptWatch({ source, options, log });
    this.#epochs.set(epoch.id, { epoch, watch, published: 0, receipted: 0, proven: 0, proveAfter: 0 });
  }

  has(id: string): boolean {
    return this.#epochs.has(id);
  }

  wake(): void {
    this.#wake?.();
  }

  start(): void {
    this.#running = this.#run();
  }

  get bytes(): number {
    return [...this.#epochs.values()].reduce((sum, { epoch }) => sum + epoch.bytes, 0);
  }

  /** Records that the log has not confirmed. */
  get pending(): number {
    return [...this.#epochs.values()].reduce((sum, { epoch, receipted }) => sum + epoch.last - receipted, 0);
  }

  /** Seconds since everything was published. */
  get lagSeconds(): number {
    return this.#behindSince === undefined ? 0 : (performance.now() - this.#behindSince) / 1000;
  }

  /** Publishes what is there and waits for receipts and proofs, at most `withinMs`; what is left stays on the disk. */
  async stop(withinMs: number): Promise<void> {
    this.#isHurrying = true;
    this.wake();
    const deadline = performance.now() + withinMs;
    const { connection, prove } = this.#options;
    const isDone = () => (prove === undefined ? this.pending === 0 : this.#epochs.size === 0);
    while (!isDone() && performance.now() < deadline && busHealth(connection).isConnected) await wait(20);
    this.#stopping.abort();
    await Promise.race([this.#running, wait(Math.max(0, deadline - performance.now()), undefined, { ref: false })]);
    for (const { epoch } of this.#epochs.values()) await epoch.release();
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const hasFailed = await this.#round();
      this.#failures = hasFailed ? this.#failures + 1 : 0;
      const isBehind = [...this.#epochs.values()].some(({ epoch, published }) => published < epoch.last);
      this.#behindSince = isBehind ? (this.#behindSince ?? performance.now()) : undefined;
      if (hasFailed) await this.#pause(backoffMs(this.#failures));
      else if (!isBehind) await this.#pause(this.#isHurrying ? idleMs / 5 : idleMs);
    }
  }

  /** One batch of each epoch. Answers true when one could not be published. */
  async #round(): Promise<boolean> {
    const { connection, log } = this.#options;
    // Publishing while disconnected would only fill a buffer that a reconnect throws away.
    if (!busHealth(connection).isConnected) return true;
    let hasFailed = false;
    for (const progress of [...this.#epochs.values()]) {
      try {
        await this.#settle(progress);
        if (this.#epochs.has(progress.epoch.id)) await this.#publish(progress);
      } catch (error) {
        hasFailed = true;
        log.warn({ err: error, epoch: progress.epoch.id, seq: progress.published }, 'spool.publish_failed');
      }
    }
    return hasFailed;
  }

  async #settle(progress: Progress): Promise<void> {
    const { epoch, watch, published } = progress;
    const { log } = this.#options;
    const answer = watch.take(epoch.id);
    if (answer !== undefined) {
      const { sequence } = answer;
      if (sequence < epoch.forgotten) return this.#renew(progress, sequence);
      // Nobody else publishes what is our own: an answer that is ahead of it keeps nothing from going out.
      progress.receipted = Math.min(sequence, epoch.isOwn ? published : epoch.last);
      progress.published = Math.max(published, progress.receipted);
      if (watch.isStalled(sequence, BigInt(published))) {
        progress.published = progress.receipted;
        log.warn({ epoch: epoch.id, from: published, receipt: sequence }, 'spool.rewound');
        this.#options.onRewound({ epoch: epoch.id, from: published, to: progress.receipted });
      }
    }
    if (progress.receipted < progress.published) watch.ask(epoch.id, this.#isHurrying);
    const isEnded = !epoch.isOpen && epoch.forgotten === epoch.last;
    if (!isEnded && epoch.forgettable(progress.receipted) === epoch.forgotten) return;
    if (await epoch.forget(this.#known(progress))) {
      this.#epochs.delete(epoch.id);
      log.info({ epoch: epoch.id, entries: epoch.last }, 'spool.epoch_done');
    }
  }

  /** The last record that may be forgotten. What is receipted and could go is proven in the background. */
  #known(progress: Progress): number {
    const { epoch, receipted } = progress;
    const { prove } = this.#options;
    if (prove === undefined) return receipted;
    const from = Math.max(progress.proven, epoch.forgotten);
    const to = epoch.forgettable(receipted);
    if (to > from && !this.#isProving && performance.now() >= progress.proveAfter) {
      this.#isProving = true;
      void this.#prove(prove, progress, from, Math.min(provenMax, to - from)).finally(() => {
        this.#isProving = false;
        this.wake();
      });
    }
    return Math.min(from, receipted);
  }

  /** Publishing goes on meanwhile: the log may take its time, or be away. */
  async #prove(prove: ProveRecordsCommand, progress: Progress, from: number, count: number): Promise<void> {
    const { log } = this.#options;
    const { epoch } = progress;
    const asked = await this.#read(progress, from, count);
    if (asked.length === 0) return;
    let waitMs = this.#isHurrying ? idleMs : unprovenMs;
    try {
      const outcome = await prove.run(asked);
      if ('fault' in outcome) {
        log.error({ epoch: epoch.id, seq: from, reason: outcome.fault }, 'spool.log_not_believed');
        waitMs = faultMs;
      } else if (outcome.proven > 0) {
        progress.proven = from + outcome.proven;
        waitMs = 0;
      }
    } catch (error) {
      log.debug({ epoch: epoch.id, err: error }, 'spool.no_proof');
    }
    progress.proveAfter = performance.now() + waitMs;
  }

  /**
   * The log was set back to a copy that is older than what is still here. It would wait for ever for the numbers between:
   * what there is gets new ones. A crash on the way: some records go out under both, and become one entry each.
   */
  async #renew({ epoch }: Progress, receipt: number): Promise<void> {
    const records: SpoolRecord[] = [];
    for (let at = epoch.forgotten; at < epoch.last; at = epoch.forgotten + records.length) {
      records.push(...(await epoch.read(at, batchMax)));
    }
    this.#options.log.error(
      { epoch: epoch.id, from: epoch.forgotten, receipt, entries: records.length },
      'spool.log_set_back',
    );
    this.#epochs.delete(epoch.id);
    await epoch.close();
    await this.#options.renew(records, { epoch: epoch.id, from: epoch.last, to: receipt, isAbandoned: true });
    await epoch.remove();
  }

  async #publish(progress: Progress): Promise<void> {
    const { connection } = this.#options;
    const { epoch, published, receipted } = progress;
    const most = Math.min(batchMax, aheadMax - (published - receipted));
    if (published >= epoch.last || most <= 0) return;
    const records = await this.#read(progress, published, most);
    if (records.length === 0) return;
    const entries = records.map((record, i) => ({ ...record, seq: BigInt(published + i + 1) }));
    const { stored, error } = await publishBatch(connection, source, { cursor: { epoch: epoch.id }, entries });
    progress.published = published + stored;
    if (stored < entries.length) throw error;
  }

  /** Records of an epoch; none when it cannot be read any more, and then it is let go. */
  async #read(progress: Progress, after: number, count: number): Promise<SpoolRecord[]> {
    const { log, onGone } = this.#options;
    const { epoch } = progress;
    try {
      return await epoch.read(after, count);
    } catch (error) {
      // It was written again meanwhile, or let go.
      if (this.#epochs.get(epoch.id) !== progress) return [];
      this.#epochs.delete(epoch.id);
      await epoch.release();
      const entries = epoch.last - progress.published;
      const fields = { err: error, epoch: epoch.id, entries };
      // Another gateway that found it, too, has brought it to its end.
      if (!epoch.isOwn) log.info(fields, 'spool.taken');
      else {
        // Its folder was taken away, or damaged after it was written: there is no second copy.
        log.error(fields, 'spool.gone');
        if (entries > 0) onGone(entries);
      }
      return [];
    }
  }

  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#stopping.signal.addEventListener('abort', this.#wake, { once: true });
    });
    if (this.#wake !== undefined) this.#stopping.signal.removeEventListener('abort', this.#wake);
    this.#wake = undefined;
  }
}
