import { setTimeout as wait } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import { auditConsumer } from '@prime-nest/contracts/bus';
import { eventStream } from '@prime-nest/contracts/events';
import type { Logger } from '@prime-nest/kit/log';
import { attribute } from '@prime-nest/kit/telemetry-names';
import { inSpan } from '@prime-nest/kit/telemetry';
import { readDeliveries } from './delivery.js';
import type { Delivery } from './delivery.js';
import type { AppendCommand, Appended } from './log/append.command.js';
import type { SequencerLock } from './log/sequencer-lock.store.js';
import { Pull } from './pull.consumer.js';
import { mark, parkedEvents, recorded as recordedEvents, recordingDelay } from './telemetry.js';

export interface IngestOptions {
  readonly connection: NatsConnection;
  readonly append: AppendCommand;
  readonly lock: SequencerLock;
  readonly log: Logger;
  /** Called after each commit that added entries. */
  readonly onAppended?: (treeSize: number) => void;
}

const batchMax = 1_000;
/** Of a bigger batch one line is logged instead of one for each event: the entries themselves say more. */
const linesMax = 100;
const standbyMs = 500;
const idleMs = 1_000;
/** How long a message stays away in which a predecessor is missing, at first and after so many deliveries. */
const park = { ms: 2_000, patientMs: 30_000, patientAfter: 60 } as const;
/**
 * So many deliveries show that a message waits in vain when its source has given up its numbering: what another sequencer
 * held has come again by then.
 */
const inVainAfter = 15;
const retryMs = [100, 250, 500, 1_000] as const;

/**
 * Takes events from the stream into the log for as long as this process holds the sequencer's lock, and waits for the
 * lock otherwise. A message is acknowledged after its entry is committed, never before; what fails is tried again for
 * ever, and losing PostgreSQL or NATS means waiting for it.
 */
export class IngestConsumer {
  readonly #options: IngestOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #pull: Pull<Delivery> | undefined;

  constructor(options: IngestOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Finishes the batch in hand, gives back the messages that wait, and the lock. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#pull?.close();
    await this.#running;
  }

  /** A readiness check: throws unless the durable consumer exists and may be used. */
  async check(): Promise<void> {
    const subject = `$JS.API.CONSUMER.INFO.${eventStream}.${auditConsumer}`;
    const info = (await this.#options.connection.request(subject, '', { timeout: 900 })).json<{
      error?: { description?: string };
    }>();
    if (info.error !== undefined)
      throw new Error(`the consumer ${auditConsumer}: ${info.error.description ?? 'not available'}`);
  }

  /** Messages in the stream that are not settled yet: waiting, or delivered and not acknowledged. */
  async pending(): Promise<number> {
    const subject = `$JS.API.CONSUMER.INFO.${eventStream}.${auditConsumer}`;
    const { num_pending: waiting = 0, num_ack_pending: delivered = 0 } = (
      await this.#options.connection.request(subject, '', { timeout: 900 })
    ).json<{ num_pending?: number; num_ack_pending?: number }>();
    return waiting + delivered;
  }

  async #run(): Promise<void> {
    const { lock, log } = this.#options;
    while (!this.#isStopping()) {
      try {
        if (await lock.tryAcquire()) await this.#lead();
      } catch (error) {
        log.warn({ err: error }, 'ingest.interrupted');
      }
      await this.#pause(standbyMs);
    }
    await lock.release();
  }

  async #lead(): Promise<void> {
    const { connection, lock, log } = this.#options;
    log.info({}, 'ingest.leading');
    const pull = new Pull({
      connection,
      stream: eventStream,
      consumer: auditConsumer,
      batchMax,
      read: (message) => readDeliveries(message, message.deliveries > inVainAfter),
    });
    this.#pull = pull;
    try {
      while (!this.#isStopping() && lock.isHeld) {
        const deliveries = await pull.next(idleMs);
        if (deliveries.length > 0) await this.#take(deliveries);
      }
    } finally {
      await pull.close();
      this.#pull = undefined;
    }
  }

  async #take(deliveries: readonly Delivery[]): Promise<void> {
    const { append, lock, log, onAppended } = this.#options;
    for (let attempt = 0; ; attempt++) {
      try {
        const appended = await inBatchSpan(deliveries, () => append.run(deliveries));
        // A crash here: the messages come again, and are found in the log.
        this.#settle(appended);
        if (appended.recorded.length > 0) onAppended?.(appended.treeSize);
        return;
      } catch (error) {
        log.warn({ err: error, messages: deliveries.length, attempt }, 'ingest.append_failed');
        if (this.#isStopping() || !lock.isHeld) return giveBack(deliveries, error);
        await this.#pause(retryMs[Math.min(attempt, retryMs.length - 1)] ?? standbyMs);
      }
    }
  }

  #settle({ recorded, duplicates, parked, treeSize }: Appended<Delivery>): void {
    const { log } = this.#options;
    const isEachLogged = recorded.length <= linesMax;
    for (const { index, verdict, entry } of recorded) {
      const { message, span, source, place } = verdict.candidate;
      const isEntry = verdict.kind === 'append';
      if (!isEntry || isEachLogged) {
        const { id, type, traceId, correlationId } = entry.event;
        const spanId = span.trace.spanId;
        const fields = { index, eventId: id, type, source, sequence: place?.sequence, correlationId, traceId, spanId };
        if (isEntry) log.info(fields, 'event.recorded');
        else log.error({ ...fields, subject: message.subject, reason: verdict.reason }, 'event.quarantined');
      }
      recordedEvents.inc({ kind: isEntry ? 'entry' : 'quarantined' });
      recordingDelay.observe(Math.max(0, entry.receivedAt.getTime() - Date.parse(entry.event.occurredAt)) / 1000);
      span.setAttribute(mark.index, index);
      span.end();
    }
    for (const { span } of duplicates) {
      span.setAttribute(mark.outcome, 'duplicate');
      span.end();
    }
    for (const { span } of parked) {
      span.setAttribute(mark.outcome, 'parked');
      span.end();
    }
    // A message of which anything is parked comes again as a whole; what the log has of it by then is a duplicate.
    const waiting = new Set(parked.map(({ message }) => message));
    for (const message of waiting) message.giveBack(message.deliveries > park.patientAfter ? park.patientMs : park.ms);
    const settled = [...recorded.map(({ verdict }) => verdict.candidate), ...duplicates].map(({ message }) => message);
    for (const message of new Set(settled)) if (!waiting.has(message)) message.ack();
    parkedEvents.set(parked.length);
    const [gap] = parked;
    if (gap !== undefined) log.warn({ source: gap.source, ...gap.place, parked: parked.length }, 'ingest.gap');
    log[isEachLogged ? 'debug' : 'info'](
      { recorded: recorded.length, duplicates: duplicates.length, parked: parked.length, treeSize },
      'ingest.batch',
    );
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #pause(ms: number): Promise<void> {
    await wait(ms, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
  }
}

/**
 * The span of one transaction for the whole batch. A message that came alone has it below its own; several share one
 * in a trace of its own, linked both ways, because a span has one parent. Nothing where no message is recorded.
 */
function inBatchSpan<T>(deliveries: readonly Delivery[], append: () => Promise<T>): Promise<T> {
  const traced = deliveries.filter(({ span }) => span.trace.isSampled);
  const [first] = traced;
  if (first === undefined) return append();
  const attributes = { [attribute.messagingBatchMessageCount]: deliveries.length };
  if (deliveries.length === 1) return inSpan('audit.append', { parent: first.span.trace, attributes }, append);
  const links = traced.map(({ span }) => span.trace);
  return inSpan('audit.append', { parent: 'none', attributes, links }, ({ trace }) => {
    for (const { span } of traced) span.link(trace);
    return append();
  });
}

/** To be delivered again soon, to whoever sequences then. */
function giveBack(deliveries: readonly Delivery[], error: unknown): void {
  for (const message of new Set(deliveries.map(({ message }) => message))) message.giveBack();
  for (const { span } of deliveries) {
    span.fail(error);
    span.end();
  }
}
