import type { NatsConnection } from '@nats-io/transport-node';
import type { Clock } from '@prime-nest/kit/clock';
import type { Logger } from '@prime-nest/kit/log';
import type { ProveOptions } from '@prime-nest/kit/outbox/prove-events';
import type { WatchOptions } from '@prime-nest/kit/outbox/receipt-watch';
import { CheckpointStore } from './checkpoint.store.js';
import { abandonedEpochs } from './epoch-owner.store.js';
import { Epoch } from './epoch.store.js';
import { ProveRecordsCommand } from './prove-records.command.js';
import type { RecordEvent } from './record-event.js';
import { SpoolRelay } from './relay.job.js';
import { RollUp, defaultLimits } from './roll-up.js';
import type { RollUpLimits } from './roll-up.js';
import { lag, unreceipted, unwritable, used } from './telemetry.js';
import { SpoolWriter } from './write.job.js';

export interface SpoolOptions {
  /** May be shared by the gateways of one machine; each life of a process has a folder of its own in it. */
  readonly root: string;
  readonly bytesMax: number;
  readonly connection: NatsConnection;
  readonly receipts: WatchOptions;
  /** How lines are proven before they are forgotten. Without it the log is taken at its word. */
  readonly prove?: ProveOptions | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits?: RollUpLimits;
  readonly segmentBytes?: number;
  /** At a stop: how long audit may take to confirm what was written last. */
  readonly farewellMs?: number;
}

const lookMs = 1_000;
const adoptEveryMs = 15_000;

/**
 * The gateway's events on their way to the audit log: rolled up, written to local disk in the background, published in
 * order, and kept until audit has them in its signed log. No request ever waits for it and no failure of it changes an
 * answer.
 *
 * A crash loses what is in memory alone: lines of the last 50 ms or so, and counts of windows that are still open (10 s).
 * What is on the disk is published by the next gateway that is started with the same folder.
 */
export class Spool {
  readonly #options: SpoolOptions;
  readonly #rollUp: RollUp;
  readonly #relay: SpoolRelay;
  readonly #writer: SpoolWriter;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #adoptedAt = -Infinity;
  #isStopping = false;

  constructor(options: SpoolOptions) {
    const {
      root,
      bytesMax,
      connection,
      receipts,
      prove,
      clock,
      log,
      limits = defaultLimits,
      segmentBytes = 1_048_576,
    } = options;
    this.#options = options;
    this.#rollUp = new RollUp(limits);
    this.#relay = new SpoolRelay({
      connection,
      receipts,
      prove: prove && new ProveRecordsCommand(prove, new CheckpointStore(root)),
      log,
      onGone: (lines) => this.#writer.lose('unknown', lines, 'spool_gone'),
      onRewound: (rewound) => this.#writer.sayRewound(rewound),
      renew: (records, rewound) => this.#writer.renew(records, rewound),
    });
    this.#writer = new SpoolWriter({
      root,
      bytesMax,
      segmentBytes,
      log,
      clock,
      usedBytes: () => this.#relay.bytes,
      onOpened: (epoch) => this.#relay.add(epoch),
      onDurable: () => this.#relay.wake(),
    });
    unwritable.from(() => this.#writer.failingSeconds);
    lag.from(() => this.#relay.lagSeconds);
    unreceipted.from(() => this.#relay.pending);
    used.from(() => this.#relay.bytes / bytesMax);
  }

  readonly recordEvent: RecordEvent = (draft, context) => {
    try {
      const line = this.#rollUp.take(draft, context, this.#options.clock());
      if (line !== undefined) this.#writer.offer(line);
    } catch (error) {
      this.#options.log.error({ err: error, type: draft.type }, 'spool.record_failed');
      this.#writer.lose(draft.type, 1, 'invalid_event');
    }
  };

  /** Whether events are being lost, or will be soon. */
  get isDegraded(): boolean {
    return this.#writer.isDegraded;
  }

  start(): void {
    this.#writer.start();
    this.#relay.start();
    this.#look();
  }

  /** Call it when no request is served any more. What audit has not confirmed in time stays on the disk. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#timer);
    await this.#looking;
    for (const line of this.#rollUp.close()) this.#writer.offer(line);
    await this.#writer.stop();
    await this.#relay.stop(this.#options.farewellMs ?? 2_000);
    const { pending } = this.#relay;
    if (pending > 0) this.#options.log.warn({ entries: pending }, 'spool.left_behind');
  }

  #look(): void {
    this.#looking = this.#lookOnce().catch((error: unknown) => {
      this.#options.log.warn({ err: error }, 'spool.look_failed');
    });
    void this.#looking.then(() => {
      if (!this.#isStopping) this.#timer = setTimeout(() => this.#look(), lookMs);
    });
  }

  async #lookOnce(): Promise<void> {
    for (const line of this.#rollUp.close(this.#options.clock())) this.#writer.offer(line);
    await this.#writer.tryAgain();
    if (performance.now() - this.#adoptedAt < adoptEveryMs) return;
    this.#adoptedAt = performance.now();
    await this.#adopt();
  }

  /** Takes over what gateways that have ended left in the folder. Two that take the same one publish the same. */
  async #adopt(): Promise<void> {
    const { root, log } = this.#options;
    for (const id of await abandonedEpochs(root)) {
      if (this.#relay.has(id)) continue;
      const { epoch, tornBytes } = await Epoch.leftBehind(root, id);
      log.warn({ epoch: id, entries: epoch.last, bytes: tornBytes }, 'spool.adopted');
      this.#relay.add(epoch);
    }
  }
}
