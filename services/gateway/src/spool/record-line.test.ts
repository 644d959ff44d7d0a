import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeRecords, encodeRecord } from './record-line.js';
import type { SpoolRecord } from './record-line.js';

const record = fc.record({
  eventId: fc.uuid(),
  type: fc.constant('gateway.access.denied.v1'),
  correlationId: fc.string({ maxLength: 64 }),
  traceparent: fc.string({ maxLength: 55 }),
  // Well-formed text, as the canonical form of an event always is.
  entry: fc.string({ unit: 'grapheme', maxLength: 300 }).map((text) => Buffer.from(text, 'utf8')),
});
const bytesOf = (records: readonly SpoolRecord[]) => Buffer.concat(records.map(encodeRecord));

describe('a record of the spool', () => {
  test('comes back byte for byte', () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 8 }), (records) => {
        expect(decodeRecords(bytesOf(records))).toEqual({ records, torn: 0 });
      }),
    );
  });

  test('that was torn off by a crash is left out, and everything before it is there', () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 5 }), fc.nat(), (records, cut) => {
        const whole = bytesOf(records);
        const kept = cut % whole.length;
        const { records: found, torn } = decodeRecords(whole.subarray(0, kept));
        expect(found).toEqual(records.slice(0, found.length));
        expect(bytesOf(found).length + torn).toBe(kept);
        expect(torn).toBeLessThan(encodeRecord(records[found.length] as SpoolRecord).length);
      }),
    );
  });

  test('that is not what was written is not read as another one', () => {
    fc.assert(
      fc.property(
        fc.array(record, { minLength: 2, maxLength: 4 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (records, place, flip) => {
          const bytes = bytesOf(records);
          const at = place % bytes.length;
          bytes[at] = (bytes[at] ?? 0) ^ flip;
          const { records: found, torn } = decodeRecords(bytes);
          expect(found.length).toBeLessThan(records.length);
          expect(found).toEqual(records.slice(0, found.length));
          expect(torn).toBeGreaterThan(0);
        },
      ),
    );
  });
});
