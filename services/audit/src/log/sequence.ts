import type { AuditEvent } from '@prime-nest/contracts/events';
import type { Rejection } from './entry.js';

/** A message that wants to become an entry. `order` is its position in the stream. */
export interface Candidate {
  readonly order: number;
  readonly source: string;
  /** Undefined when the message does not say where in its source's sequence it belongs. */
  readonly place: { readonly epoch: string; readonly sequence: number } | undefined;
  readonly reading: { readonly event: AuditEvent } | { readonly rejection: Rejection };
  readonly leafHash: Buffer;
  /** It has come so often that what was on its way before it has come, too. */
  readonly hasWaited: boolean;
  /** Computed when asked: only what is rejected or comes again needs it. */
  fingerprint(): Buffer;
}

/** What the log holds already, as far as this batch can meet it. */
export interface KnownState {
  /** Last sequence number taken, by {@link placeKey}. */
  readonly lastSequence: ReadonlyMap<string, number>;
  /** Leaf hash by {@link eventKey}. */
  readonly leafOf: ReadonlyMap<string, Buffer>;
  /** Epochs that their source has given up, by {@link placeKey}: what is missing in them never comes. */
  readonly abandoned: ReadonlySet<string>;
  /** Fingerprints in quarantine, as hex. */
  readonly quarantined: ReadonlySet<string>;
}

export type Verdict<C extends Candidate> =
  | { readonly kind: 'append'; readonly candidate: C; readonly event: AuditEvent }
  | { readonly kind: 'quarantine'; readonly candidate: C; readonly reason: Rejection };

export interface Plan<C extends Candidate> {
  /** New entries in log order. */
  readonly entries: readonly Verdict<C>[];
  /** In the log already: to be acknowledged, nothing else. */
  readonly duplicates: readonly C[];
  /** A predecessor is missing: to be taken later. */
  readonly parked: readonly C[];
  /** Watermarks after this batch, for the places that moved. */
  readonly moved: ReadonlyMap<string, Moved>;
  /** Numbers taken without an entry of their own. */
  readonly passed: readonly { readonly candidate: C; readonly kind: 'quarantined' | 'repeated' }[];
}

/** How far a source's sequence has been taken, and the leaf hash of the message that was taken last. */
export interface Moved {
  readonly source: string;
  readonly epoch: string;
  readonly sequence: number;
  readonly leafHash: Buffer;
}

export function placeKey(source: string, epoch: string): string {
  return `${source} ${epoch}`;
}

/** One event, one key: the same id may be written in capitals. */
export function eventKey(event: AuditEvent): string {
  return event.id.toLowerCase();
}

/**
 * Decides for each message of a batch. Per (source, epoch) the entries follow the sequence without a hole; an event
 * id becomes an entry once; what is unfit keeps its place in the sequence, so that nothing behind it waits for ever.
 * Across sources the order of the stream is kept.
 */
export function planBatch<C extends Candidate>(candidates: readonly C[], known: KnownState): Plan<C> {
  const entries: Verdict<C>[] = [];
  const duplicates: C[] = [];
  const moved = new Map<string, Moved>();
  const passed: { candidate: C; kind: 'quarantined' | 'repeated' }[] = [];
  const waiting = new Map<string, Map<number, C[]>>();
  const last = new Map(known.lastSequence);
  const leafOf = new Map(known.leafOf);
  const quarantined = new Set(known.quarantined);

  const quarantine = (candidate: C, reason: Rejection): void => {
    const key = candidate.fingerprint().toString('hex');
    if (quarantined.has(key)) {
      duplicates.push(candidate);
      return;
    }
    quarantined.add(key);
    entries.push({ kind: 'quarantine', candidate, reason });
  };

  const take = (candidate: C): void => {
    const { reading } = candidate;
    if ('rejection' in reading) {
      passed.push({ candidate, kind: 'quarantined' });
      return quarantine(candidate, reading.rejection);
    }
    const held = leafOf.get(eventKey(reading.event));
    if (held === undefined) {
      leafOf.set(eventKey(reading.event), candidate.leafHash);
      entries.push({ kind: 'append', candidate, event: reading.event });
    } else if (held.equals(candidate.leafHash)) {
      passed.push({ candidate, kind: 'repeated' });
      duplicates.push(candidate);
    } else {
      passed.push({ candidate, kind: 'quarantined' });
      quarantine(candidate, 'id_reused');
    }
  };

  /** A sequence number that was taken before: the same message again, or a source that says two things. */
  const retake = (candidate: C): void => {
    const { reading } = candidate;
    const held = 'event' in reading ? leafOf.get(eventKey(reading.event)) : undefined;
    if (held?.equals(candidate.leafHash) === true) duplicates.push(candidate);
    else quarantine(candidate, 'equivocation');
  };

  const isAbandoned = ({ source, place, hasWaited }: C): boolean =>
    hasWaited && place !== undefined && known.abandoned.has(placeKey(source, place.epoch));

  const abandon = (candidate: C): void => {
    const { reading } = candidate;
    const held = 'event' in reading ? leafOf.get(eventKey(reading.event)) : undefined;
    if (held?.equals(candidate.leafHash) === true) duplicates.push(candidate);
    else quarantine(candidate, 'epoch_abandoned');
  };

  for (const candidate of [...candidates].sort((a, b) => a.order - b.order)) {
    const { place, source, reading } = candidate;
    if (place === undefined) {
      quarantine(candidate, 'rejection' in reading ? reading.rejection : 'no_sequence');
      continue;
    }
    const key = placeKey(source, place.epoch);
    if (place.sequence <= (last.get(key) ?? 0)) {
      retake(candidate);
      continue;
    }
    const queue = waiting.get(key) ?? new Map<number, C[]>();
    waiting.set(key, queue);
    queue.set(place.sequence, [...(queue.get(place.sequence) ?? []), candidate]);
    for (let next = (last.get(key) ?? 0) + 1; ; next++) {
      const [first, ...again] = queue.get(next) ?? [];
      if (first === undefined) break;
      queue.delete(next);
      last.set(key, next);
      moved.set(key, { source, epoch: place.epoch, sequence: next, leafHash: first.leafHash });
      take(first);
      again.forEach(retake);
    }
  }
  const behindGaps = [...waiting.values()].flatMap((queue) => [...queue.values()].flat());
  const parked = behindGaps.filter((candidate) => !isAbandoned(candidate));
  // The source has sent again what it still had, under other numbers; the rest is kept, and not waited for.
  behindGaps.filter(isAbandoned).forEach(abandon);
  return { entries, duplicates, parked, moved, passed };
}
