import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { makeEvent, makeMessage, rawMessage, testEpoch } from '../../test/harness.js';
import { entryBytes } from './entry.js';
import type { Message } from './message.js';
import { eventKey, placeKey, planBatch } from './sequence.js';
import type { KnownState } from './sequence.js';

const nothing: KnownState = {
  lastSequence: new Map(),
  abandoned: new Set(),
  leafOf: new Map(),
  quarantined: new Set(),
};

/** What the log would hold after these batches: the state as the store would read it back. */
class MemoryLog {
  readonly lastSequence = new Map<string, number>();
  readonly abandoned = new Set<string>();
  readonly leafOf = new Map<string, Buffer>();
  readonly quarantined = new Set<string>();
  readonly ids: string[] = [];
  parked: readonly Message[] = [];

  give(messages: readonly Message[]): void {
    const { entries, parked, moved } = planBatch(messages, this);
    for (const { kind, candidate } of entries) {
      if (kind === 'quarantine') this.quarantined.add(candidate.fingerprint().toString('hex'));
      else if ('event' in candidate.reading) {
        this.leafOf.set(eventKey(candidate.reading.event), candidate.leafHash);
        this.ids.push(candidate.reading.event.id);
      }
    }
    for (const [key, { sequence }] of moved) this.lastSequence.set(key, sequence);
    this.parked = parked;
  }
}

describe('the plan of a batch', () => {
  test('whatever is lost, doubled and reordered on the way, each event is taken once and in order', () => {
    const deliveries = fc.array(
      fc.record({ source: fc.constantFrom('rbac', 'identity'), sequence: fc.integer({ min: 1, max: 8 }) }),
      {
        maxLength: 60,
      },
    );
    fc.assert(
      fc.property(deliveries, fc.integer({ min: 1, max: 7 }), (order, batchSize) => {
        const events = {
          rbac: Array.from({ length: 8 }, () => makeEvent()),
          identity: Array.from({ length: 8 }, () => makeEvent('identity.key.created.v1')),
        };
        const all = [
          ...order,
          ...[1, 2, 3, 4, 5, 6, 7, 8].flatMap((sequence) => [
            { source: 'rbac', sequence },
            { source: 'identity', sequence },
          ]),
        ];
        const messages = all.map(({ source, sequence }) =>
          makeMessage(events[source as 'rbac'][sequence - 1] ?? makeEvent(), sequence),
        );
        const log = new MemoryLog();
        let waiting: Message[] = [];
        for (let i = 0; i < messages.length; i += batchSize) {
          log.give([...waiting, ...messages.slice(i, i + batchSize)]);
          waiting = [...log.parked];
        }
        expect(waiting).toEqual([]);
        expect(log.quarantined.size).toBe(0);
        for (const list of Object.values(events)) {
          const ids = list.map(({ id }) => id);
          expect(log.ids.filter((id) => ids.includes(id))).toEqual(ids);
        }
        expect(log.ids).toHaveLength(16);
      }),
      { seed: 7, numRuns: 300 },
    );
  });

  test('a hole parks what is behind it, of its own source only', () => {
    const third = makeMessage(makeEvent(), 3);
    const other = makeMessage(makeEvent('identity.key.created.v1'), 1);
    const plan = planBatch([third, other], nothing);
    expect(plan.parked).toEqual([third]);
    expect(plan.entries).toMatchObject([{ kind: 'append', candidate: { source: 'identity' } }]);
  });

  test('behind a hole that its source has given up nothing waits for ever, and nothing is lost', () => {
    const [known, lost, fresh] = [makeEvent(), makeEvent(), makeEvent()];
    const of = (event: typeof known, sequence: number, hasWaited = true) =>
      makeMessage(event, sequence, testEpoch, hasWaited);
    const held = { ...nothing, leafOf: new Map([[known.id, of(known, 3).leafHash]]) };
    const batch = [of(known, 3), of(lost, 4), of(fresh, 5, false)];
    // The control: as long as its source may fill the hole, everything waits.
    expect(planBatch(batch, held).parked).toEqual(batch);
    const plan = planBatch(batch, { ...held, abandoned: new Set([placeKey('rbac', testEpoch)]) });
    expect(plan).toMatchObject({ duplicates: [batch[0]], parked: [batch[2]] });
    expect(plan.entries).toMatchObject([{ kind: 'quarantine', candidate: batch[1], reason: 'epoch_abandoned' }]);
    expect(plan.moved.size).toBe(0);
  });

  test('two different events with one number: the first stands, the second is kept as equivocation', () => {
    const plan = planBatch([makeMessage(makeEvent(), 1), makeMessage(makeEvent(), 1)], nothing);
    expect(plan.entries).toMatchObject([{ kind: 'append' }, { kind: 'quarantine', reason: 'equivocation' }]);
    const later = planBatch([makeMessage(makeEvent(), 1)], {
      ...nothing,
      lastSequence: new Map([[placeKey('rbac', testEpoch), 5]]),
    });
    expect(later.entries).toMatchObject([{ kind: 'quarantine', reason: 'equivocation' }]);
    expect(later.moved.size).toBe(0);
  });

  test('one id with two contents: the second is kept aside and its number is used up', () => {
    const event = makeEvent();
    const plan = planBatch(
      [makeMessage(event, 1), makeMessage({ ...event, outcome: 'denied' }, 2), makeMessage(makeEvent(), 3)],
      nothing,
    );
    expect(plan.entries.map((entry) => (entry.kind === 'quarantine' ? entry.reason : entry.kind))).toEqual([
      'append',
      'id_reused',
      'append',
    ]);
  });

  test('the same event in a new epoch uses up its number and adds nothing, in whatever case its id is written', () => {
    const event = makeEvent();
    const log = new MemoryLog();
    log.give([makeMessage(event, 1), makeMessage(event, 1, 'epoch-2')]);
    expect(log.ids).toEqual([event.id]);
    expect(log.lastSequence.get(placeKey('rbac', 'epoch-2'))).toBe(1);
    log.give([makeMessage({ ...event, id: event.id.toUpperCase() }, 2)]);
    expect(log.ids).toEqual([event.id]);
    expect(log.quarantined.size).toBe(1);
  });

  test('poison keeps its place in the sequence and is recognised when it comes again', () => {
    const at = { source: 'rbac', epoch: testEpoch, sequence: '1' };
    const poison = () => rawMessage('evt.rbac.role.created.v1', Buffer.from('{'), at);
    const log = new MemoryLog();
    log.give([poison(), makeMessage(makeEvent(), 2)]);
    log.give([poison()]);
    expect(log.quarantined.size).toBe(1);
    expect(log.ids).toHaveLength(1);
    const lost = rawMessage('evt.rbac.role.created.v1', entryBytes(makeEvent()), { ...at, sequence: '' });
    expect(planBatch([lost, lost], nothing)).toMatchObject({ entries: [{ reason: 'no_sequence' }], duplicates: [{}] });
  });
});
