import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { formatTraceparent } from '@prime-nest/contracts/trace';
import type { Clock } from '@prime-nest/kit/clock';
import { serviceContext } from '@prime-nest/kit/context';
import type { Logger } from '@prime-nest/kit/log';
import type { Rewound } from '@prime-nest/kit/outbox/origin';
import { buildEvent, encodeEvent } from '@prime-nest/kit/outbox/outbox';
import { Epoch } from './epoch.store.js';
import { Losses } from './losses.js';
import type { LossReason } from './losses.js';
import type { GatewayEventDraft } from './record-event.js';
import type { SpoolRecord } from './record-line.js';
import type { Line } from './roll-up.js';
import { lostEvents, recordedEvents } from './telemetry.js';

export interface SpoolWriterOptions {
  readonly root: string;
  /** Bytes of everything that is kept; a new line that does not fit is lost, and counted. */
  readonly bytesMax: number;
  readonly segmentBytes: number;
  readonly log: Logger;
  readonly clock: Clock;
  readonly usedBytes: () => number;
  readonly onOpened: (epoch: Epoch) => void;
  readonly onDurable: () => void;
}

interface Waiting {
  readonly record: SpoolRecord;
  readonly type: string;
  readonly count: number;
}

const source = 'gateway';
/** One write and one fdatasync for everything that came within this time. */
const groupMs = 50;
const lossType = 'gateway.recording.lost.v1';
const linesMax = 5_000;
/** Room for the line that says what was lost. */
const reserveBytes = 16 * 1024;
/** What a record adds to its entry: checksum, ids and quotes, at most about this. */
const frameBytes = 400;

/**
 * Writes lines to the disk in groups. Whoever offers one never waits. While nothing can be written, lines wait in
 * memory, at most 5,000; what finds no room, there or on the disk, is counted, and the count is the first line written
 * afterwards. A write that fails ends its epoch; its lines begin the next one under the same event ids.
 */
export class SpoolWriter {
  readonly #options: SpoolWriterOptions;
  readonly #losses = new Losses();
  #offered: Line[] = [];
  #waiting: Waiting[] = [];
  #epoch: Epoch | undefined;
  #failingSince: number | undefined;
  #isFull = false;
  #writing: Promise<void> | undefined;

  constructor(options: SpoolWriterOptions) {
    this.#options = options;
  }

  /** Seconds since writing began to fail; 0 while it works. */
  get failingSeconds(): number {
    return this.#failingSince === undefined ? 0 : (performance.now() - this.#failingSince) / 1000;
  }

  /** Whether events are being lost, or will be soon. */
  get isDegraded(): boolean {
    return this.#failingSince !== undefined || this.#isFull;
  }

  offer(line: Line): void {
    if (this.#offered.length + this.#waiting.length >= linesMax) {
      this.lose(line.draft.type, line.count, this.#isFull ? 'spool_full' : 'spool_unwritable');
      return;
    }
    this.#offered.push(line);
    // While the disk refuses, it is tried again once a second.
    if (this.#failingSince !== undefined) return;
    this.#writing ??= wait(groupMs)
      .then(() => this.#writeAll())
      .finally(() => {
        this.#writing = undefined;
      });
  }

  lose(type: string, count: number, reason: LossReason): void {
    lostEvents.inc({ type }, count);
    this.#losses.add({ type, count, reason, at: this.#options.clock() });
  }

  /** Begins the first epoch, with the line that says so. */
  start(): void {
    this.offer(this.#own({ type: 'gateway.recording.started.v1' }));
  }

  /** Writes what waits and the line that ends the epoch. */
  async stop(): Promise<void> {
    await this.#writing;
    this.#offered.push(this.#own({ type: 'gateway.recording.stopped.v1' }));
    await this.#writeAll();
    await this.#epoch?.close();
  }

  /** Tries the disk again: while nothing is offered nobody else does. */
  async tryAgain(): Promise<void> {
    if (this.#writing === undefined) await this.#writeAll();
  }

  /** Records that numbers of an epoch go out again. */
  sayRewound(after: Rewound): void {
    this.offer(this.#rewound(after));
  }

  /**
   * Writes records again, in a new epoch: the log has fallen behind what their own can still give it. The event that
   * comes after them tells the log to wait no longer for that one.
   */
  async renew(records: readonly SpoolRecord[], rewound: Rewound): Promise<void> {
    await this.#writing;
    await this.#epoch?.close();
    this.#waiting.unshift(...records.map((record) => ({ record, type: record.type, count: 1 })));
    this.#offered.push(this.#rewound(rewound));
    await this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    while (this.#offered.length > 0 || this.#waiting.length > 0 || !this.#losses.isEmpty) {
      this.#take(this.#offered.splice(0));
      if (this.#fit()) this.#sayLosses();
      if (this.#waiting.length === 0) return;
      if (!(await this.#write())) return;
    }
  }

  #take(lines: readonly Line[]): void {
    for (const { draft, context, at, count } of lines) {
      try {
        const event = buildEvent(source, draft, context, at);
        const { id: eventId, type, correlationId } = event;
        const traceparent = formatTraceparent(context.trace);
        this.#waiting.push({
          record: { eventId, type, correlationId, traceparent, entry: encodeEvent(event) },
          type: draft.type,
          count,
        });
      } catch (error) {
        this.#options.log.error({ err: error, type: draft.type }, 'spool.invalid_event');
        this.lose(draft.type, count, 'invalid_event');
      }
    }
  }

  /** Keeps what there is room for. What says what was lost always fits: it has a reserve. Answers whether all did. */
  #fit(): boolean {
    const { bytesMax, usedBytes, log } = this.#options;
    let room = bytesMax - reserveBytes - usedBytes();
    const kept = this.#waiting.filter(({ record, type }) => {
      room -= record.entry.length + frameBytes;
      return room >= 0 || type === lossType;
    });
    const keeps = new Set(kept);
    const dropped = this.#waiting.filter((waiting) => !keeps.has(waiting));
    this.#waiting = kept;
    for (const { type, count } of dropped) this.lose(type, count, 'spool_full');
    const isFull = room < 0;
    if (isFull && !this.#isFull) log.error({ bytes: bytesMax }, 'spool.full');
    if (!isFull && this.#isFull) log.info('spool.has_room');
    this.#isFull = isFull;
    return !isFull;
  }

  #sayLosses(): void {
    const draft = this.#losses.take();
    if (draft !== undefined) this.#take([this.#own(draft)]);
  }

  /** False when the disk does not take it. */
  async #write(): Promise<boolean> {
    const { log, onDurable } = this.#options;
    const group = [...this.#waiting];
    try {
      const epoch = await this.#open();
      await epoch.append(group.map(({ record }) => record));
    } catch (error) {
      // Some of them may be on the disk: in the next epoch they have the same ids, and become one entry each.
      if (this.#failingSince === undefined) log.error({ err: error, entries: group.length }, 'spool.unwritable');
      this.#failingSince ??= performance.now();
      return false;
    }
    this.#waiting.splice(0, group.length);
    for (const { type, count } of group) recordedEvents.inc({ type }, count);
    if (this.#failingSince !== undefined)
      log.info({ durationMs: Math.round(this.failingSeconds * 1000) }, 'spool.writable');
    this.#failingSince = undefined;
    onDurable();
    return true;
  }

  async #open(): Promise<Epoch> {
    if (this.#epoch?.isOpen === true) return this.#epoch;
    const { root, segmentBytes, onOpened, log } = this.#options;
    // Random, because the first eight digits tell its messages from those of another epoch.
    this.#epoch = await Epoch.create(root, randomUUID(), segmentBytes);
    onOpened(this.#epoch);
    log.info({ epoch: this.#epoch.id }, 'spool.opened');
    return this.#epoch;
  }

  #rewound({ epoch, from, to, isAbandoned }: Rewound): Line {
    const after = { epoch, from, to, ...(isAbandoned === undefined ? {} : { isAbandoned }) };
    return this.#own({ type: 'gateway.source.rewound.v1', change: { after } });
  }

  /** A line about the recording itself. */
  #own(draft: GatewayEventDraft): Line {
    return { draft, context: serviceContext(source), at: this.#options.clock(), count: 1 };
  }
}
