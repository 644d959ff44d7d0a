import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { encodeEventBatch } from '@prime-nest/kit/outbox/event-batch';
import { filterCondition, parseCursor } from '../search/filter.js';
import { fittingEntries } from '../search/page.js';
import { fingerprint } from './entry.js';
import { eventsOf, readMessage } from './message.js';
import { accountSources } from './source-record.js';
import type { PlacedEntry } from './source-record.js';

const noise = fc.string({ unit: 'binary' });
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.jsonValue().map((value) => Buffer.from(JSON.stringify(value))),
  fc.integer({ min: 1, max: 3_000 }).map((depth) => Buffer.from('['.repeat(depth) + ']'.repeat(depth))),
);
const arrival = fc.record({
  subject: fc.oneof(noise, fc.constantFrom('evt.rbac.role.created.v1', 'evt.identity.login.failed.v1', 'evt')),
  data: bytes,
  source: fc.oneof(noise, fc.constantFrom('rbac', 'identity')),
  epoch: fc.oneof(noise, fc.constant('e1')),
  sequence: fc.oneof(noise, fc.nat().map(String), fc.constantFrom('0', '01', '-1', '1e3', '9007199254740993')),
  order: fc.nat(),
  hasWaited: fc.boolean(),
  traceparent: fc.option(noise, { nil: undefined }),
  correlationId: fc.option(noise, { nil: undefined }),
  publisher: fc.option(noise, { nil: undefined }),
});

describe('a message of the stream', () => {
  test('never makes the reader throw, and what is no event is a rejection with a reason', () => {
    fc.assert(
      fc.property(arrival, (given) => {
        const message = readMessage(given);
        expect('event' in message.reading || typeof message.reading.rejection === 'string').toBe(true);
        expect(message.bytes.equals(Buffer.from(given.data))).toBe(true);
        if (message.place !== undefined) {
          expect(message.place.sequence).toBeGreaterThanOrEqual(1);
          expect(String(message.place.sequence)).toBe(given.sequence);
          expect(given.source).toBe(given.subject.split('.')[1] ?? '');
        }
      }),
      { numRuns: 300 },
    );
  });

  test('has a fingerprint of everything that it claims', () => {
    fc.assert(
      fc.property(arrival, arrival, (a, b) => {
        const claims = ({ subject, data, source, epoch, sequence }: typeof a) =>
          JSON.stringify([subject, source, epoch, sequence, Buffer.from(data).toString('hex')]);
        // Lone surrogates have no bytes of their own.
        if ([a, b].some((one) => /\\ud[89a-f]/.test(claims(one)))) return;
        expect(fingerprint(a).equals(fingerprint(b))).toBe(claims(a) === claims(b));
        expect(fingerprint(a)).toEqual(fingerprint({ ...a }));
      }),
    );
  });
});

describe('a message with several events', () => {
  const head = fc.record({ type: noise, correlationId: noise, traceparent: noise, entry: bytes });
  const type = fc.oneof(noise, fc.constantFrom('rbac.role.created.v1', 'identity.login.failed.v1', 'rbac', ''));
  const batch = fc.array(fc.tuple(head, type), { minLength: 1, maxLength: 5 });
  const wellFormed = (text: string) => text.toWellFormed();

  test('is read as so many messages with the numbers in a row, none of them of a source that the bus did not vouch for', () => {
    fc.assert(
      fc.property(arrival, batch, (given, list) => {
        const sent = list.map(([one, of]) => ({ ...one, type: wellFormed(of), entry: Buffer.from(one.entry) }));
        const events = eventsOf({ ...given, subject: 'evt.rbac.batch.v1', data: encodeEventBatch(sent) });
        expect(events).toHaveLength(sent.length);
        const alone = readMessage({ ...given, subject: 'evt.rbac.role.created.v1', data: Buffer.alloc(0) });
        events.map(readMessage).forEach((message, i) => {
          expect(message.source).toBe('rbac');
          expect(message.bytes.equals(Buffer.from(sent[i]?.entry ?? ''))).toBe(true);
          const sequence = (alone.place?.sequence ?? 0) + i;
          const expected = Number.isSafeInteger(sequence) ? alone.place && { ...alone.place, sequence } : undefined;
          expect(message.place).toEqual(expected);
        });
      }),
    );
  });

  test('is one message on any other subject, and when it is not made that way', () => {
    fc.assert(
      fc.property(arrival, (given) => {
        expect(eventsOf(given)).toEqual([given]);
        expect(eventsOf({ ...given, subject: 'evt.rbac.batch.v1' })).toHaveLength(1);
      }),
    );
  });
});

describe('a search', () => {
  const filter = fc.record(
    {
      actorId: noise,
      action: noise,
      type: fc.oneof(noise, fc.constantFrom('rbac.role.created.v1', '__proto__', 'constructor')),
      resourceType: noise,
      resourceId: noise,
      outcome: fc.constantFrom('success' as const, 'failure' as const),
      traceId: noise,
      correlationId: noise,
      occurredFrom: fc.constant('2026-03-01T08:00:00.000Z'),
      occurredTo: fc.constant('2026-03-02T08:00:00.000Z'),
    },
    { requiredKeys: [] },
  );

  test('has one placeholder for each value, and no value in its text', () => {
    fc.assert(
      fc.property(filter, fc.integer({ min: 1, max: 9 }), (given, first) => {
        const { sql, params } = filterCondition(given, first);
        const placeholders = [...sql.matchAll(/\$(\d+)/g)].map(([, digits]) => Number(digits));
        expect(placeholders).toEqual(params.map((_, index) => first + index));
        expect(sql).toMatch(/^(TRUE|[a-z_]+ (=|>=|<) \$\d+( AND [a-z_]+ (=|>=|<) \$\d+)*)$/);
      }),
    );
  });

  test('goes on at a cursor of ours, and at nothing else', () => {
    fc.assert(fc.property(fc.nat(), (at) => expect(parseCursor(String(at))).toBe(at)));
    fc.assert(
      fc.property(fc.oneof(noise, fc.bigInt().map(String)), (text) => {
        const at = parseCursor(text);
        expect(at === undefined || (Number.isSafeInteger(at) && at >= 0)).toBe(true);
        expect(at !== undefined).toBe(/^[0-9]{1,15}$/.test(text));
      }),
    );
  });

  test('answers a beginning of what was found, at least one entry, within what a reply carries', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(400_000), { maxLength: 8 }), (lengths) => {
        const entries = lengths.map((length) => ({ bytes: { length } as Uint8Array }));
        const page = fittingEntries(entries);
        expect(page).toEqual(entries.slice(0, page.length));
        const total = (list: typeof entries) => list.reduce((sum, one) => sum + one.bytes.length + 100, 0);
        if (entries.length > 0) expect(page.length).toBeGreaterThan(0);
        if (page.length > 1) expect(total(page)).toBeLessThanOrEqual(700_000);
        if (page.length < entries.length) expect(total(entries.slice(0, page.length + 1))).toBeGreaterThan(700_000);
      }),
    );
  });
});

describe('the account of a source', () => {
  test('covers its numbers without a gap from the last one on, and every entry is in an account or left over', () => {
    const list = fc.array(fc.record({ source: fc.constantFrom('a', 'b'), sequence: fc.integer({ min: 1, max: 12 }) }), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(list, fc.nat(4), (given, after) => {
        const unique = [...new Map(given.map((one) => [`${one.source} ${String(one.sequence)}`, one])).values()];
        const entries = unique.map(({ source, sequence }, index): PlacedEntry => ({
          index,
          source,
          place: { epoch: 'e', sequence },
        }));
        const { accounts, unaccounted } = accountSources(entries, [], [{ source: 'a', epoch: 'e', sequence: after }]);
        const covered = accounts.flatMap((account) => {
          const indexes = account.entries.flatMap(([from, count]) => Array.from({ length: count }, (_, i) => from + i));
          expect(indexes).toHaveLength(account.sequence - account.after);
          for (const [i, index] of indexes.entries()) {
            expect(entries[index]).toMatchObject({
              source: account.source,
              place: { sequence: account.after + 1 + i },
            });
          }
          expect(account.after).toBe(account.source === 'a' ? after : 0);
          return indexes;
        });
        expect([...covered, ...unaccounted.map(({ index }) => index)].sort((x, y) => x - y)).toEqual(
          entries.map(({ index }) => index),
        );
      }),
    );
  });
});
