import type { Clock } from '@prime-nest/kit/clock';
import type { Database, Tx } from '@prime-nest/kit/database';
import { z } from 'zod';
import { entryBytes } from './entry.js';
import { isDataError } from './log.store.js';
import type { AbandonedEpoch, LogStore, NewEntry } from './log.store.js';
import type { Message } from './message.js';
import { quarantineEvent } from './quarantine-event.js';
import { eventKey, placeKey, planBatch } from './sequence.js';
import type { Verdict } from './sequence.js';
import type { NewPassedNumber } from './source.store.js';
import { SourceStore } from './source.store.js';
import { leafHash } from '@prime-nest/kit/tlog/tree';

const abandonment = z.object({ epoch: z.string().max(64), isAbandoned: z.literal(true) });

export interface Appended<M extends Message> {
  readonly recorded: readonly { readonly index: number; readonly verdict: Verdict<M>; readonly entry: NewEntry }[];
  readonly duplicates: readonly M[];
  /** Not in the log: a predecessor is missing. */
  readonly parked: readonly M[];
  readonly treeSize: number;
}

/**
 * Appends a batch in one transaction: entries, quarantined messages, subtree roots, watermarks and the tree's state,
 * all or nothing. Calls from several processes are put in line by the lock on the tree's state, and each decides by
 * what the one before it has committed; so a message given twice, here or there, becomes one entry.
 *
 * A crash before the commit leaves nothing; a crash after it leaves unacknowledged messages, which come again and are
 * found to be duplicates. Throws `unavailable` when it is not known whether the commit took effect: give the batch again.
 */
export class AppendCommand {
  readonly #database: Database;
  readonly #log: LogStore;
  readonly #sources = new SourceStore();
  readonly #clock: Clock;
  readonly #newId: () => string;

  constructor({
    database,
    log,
    clock,
    newId,
  }: {
    database: Database;
    log: LogStore;
    clock: Clock;
    newId: () => string;
  }) {
    this.#database = database;
    this.#log = log;
    this.#clock = clock;
    this.#newId = newId;
  }

  async run<M extends Message>(messages: readonly M[]): Promise<Appended<M>> {
    try {
      return await this.#append(messages);
    } catch (error) {
      if (!isDataError(error)) throw error;
      // PostgreSQL cannot store one of them. Halve until it is found; the queue must not stand still for it.
      const [only, ...others] = messages;
      if (only === undefined) throw error;
      if (others.length === 0) return this.#append([{ ...only, reading: { rejection: 'unstorable' } }]);
      const middle = Math.ceil(messages.length / 2);
      return joined(await this.run(messages.slice(0, middle)), await this.run(messages.slice(middle)));
    }
  }

  #append<M extends Message>(messages: readonly M[]): Promise<Appended<M>> {
    return this.#database.transaction(async (tx) => {
      // Sent at once, done in this order: what is known is read when the lock is held.
      const [state, known] = await Promise.all([this.#log.lockState(tx), this.#known(tx, messages)]);
      const plan = planBatch(messages, known);
      if (plan.entries.length === 0 && plan.moved.size === 0) {
        return { recorded: [], duplicates: plan.duplicates, parked: plan.parked, treeSize: state.treeSize };
      }
      const receivedAt = this.#clock();
      const recorded = plan.entries.map((verdict, i) => ({
        index: state.treeSize + i,
        verdict,
        entry: this.#entryOf(verdict, state.treeSize + i, receivedAt),
      }));
      const entries = recorded.map(({ entry }) => entry);
      const treeSize = await this.#log.grow(tx, state, entries);
      const quarantined = recorded.flatMap(({ index, verdict }) =>
        verdict.kind === 'quarantine' ? [{ ...verdict, index }] : [],
      );
      await Promise.all([
        this.#log.insertQuarantined(tx, quarantined, receivedAt),
        this.#log.moveSources(tx, [...plan.moved.values()], receivedAt),
        this.#sources.insertPassed(tx, plan.passed.flatMap(passedNumber)),
        this.#log.insertAbandoned(tx, recorded.flatMap(abandonedEpoch)),
      ]);
      return { recorded, duplicates: plan.duplicates, parked: plan.parked, treeSize };
    });
  }

  async #known(tx: Tx, messages: readonly Message[]) {
    const places = messages.flatMap(({ source, place }) =>
      place === undefined ? [] : [{ source, epoch: place.epoch }],
    );
    const distinct = [...new Map(places.map((place) => [placeKey(place.source, place.epoch), place])).values()];
    const ids = messages.flatMap(({ reading }) => ('event' in reading ? [eventKey(reading.event)] : []));
    const [{ lastSequence, abandoned }, leafOf] = await Promise.all([
      this.#log.places(tx, distinct),
      this.#log.leavesOf(tx, [...new Set(ids)]),
    ]);
    // Only what may have been quarantined before: the unfit, and the numbers already taken that are no entry.
    const suspects = messages.filter(({ source, place, reading }) => {
      if (place === undefined || 'rejection' in reading) return true;
      if (abandoned.has(placeKey(source, place.epoch))) return true;
      const isTaken = place.sequence <= (lastSequence.get(placeKey(source, place.epoch)) ?? 0);
      return isTaken || leafOf.has(eventKey(reading.event));
    });
    const quarantined = await this.#log.quarantinedAmong(
      tx,
      suspects.map((suspect) => suspect.fingerprint()),
    );
    return { lastSequence, abandoned, leafOf, quarantined };
  }

  #entryOf<M extends Message>(verdict: Verdict<M>, index: number, receivedAt: Date): NewEntry {
    const { candidate } = verdict;
    if (verdict.kind === 'append') {
      const place =
        candidate.place === undefined
          ? undefined
          : { epoch: candidate.place.epoch, sequence: candidate.place.sequence };
      return { index, receivedAt, event: verdict.event, place, leafHash: candidate.leafHash, bytes: candidate.bytes };
    }
    const event = quarantineEvent({ id: this.#newId(), at: receivedAt, message: candidate, reason: verdict.reason });
    const bytes = entryBytes(event);
    return { index, receivedAt, event, place: undefined, leafHash: leafHash(bytes), bytes };
  }
}

/** The epoch that the entry gives up: its source has begun another one and will not fill what is missing there. */
function abandonedEpoch({ index, verdict }: { index: number; verdict: Verdict<Message> }): AbandonedEpoch[] {
  if (verdict.kind !== 'append' || !verdict.event.type.endsWith('.source.rewound.v1')) return [];
  const { source, change } = verdict.event;
  const after = abandonment.safeParse(change?.after);
  return after.success ? [{ source, epoch: after.data.epoch, index }] : [];
}

function passedNumber({
  candidate,
  kind,
}: {
  candidate: Message;
  kind: 'quarantined' | 'repeated';
}): NewPassedNumber[] {
  const { source, place, reading } = candidate;
  if (place === undefined) return [];
  const isEvent = kind === 'repeated' && 'event' in reading;
  const by = isEvent ? { eventId: reading.event.id } : { fingerprint: candidate.fingerprint() };
  return [{ source, epoch: place.epoch, sequence: place.sequence, by }];
}

function joined<M extends Message>(first: Appended<M>, second: Appended<M>): Appended<M> {
  return {
    recorded: [...first.recorded, ...second.recorded],
    duplicates: [...first.duplicates, ...second.duplicates],
    parked: [...first.parked, ...second.parked],
    treeSize: second.treeSize,
  };
}
