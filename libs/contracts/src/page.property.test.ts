import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CorrelationId, Id } from './ids.js';
import { PageRequest } from './page.js';

describe('a page request', () => {
  test('is within its bounds whenever it is accepted, whatever was sent', () => {
    const sent = fc.record(
      { limit: fc.anything(), offset: fc.anything(), search: fc.anything(), other: fc.anything() },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(sent, (request) => {
        const parsed = PageRequest.safeParse(request);
        if (!parsed.success) return;
        expect(Object.keys(request)).not.toContain('other');
        expect(parsed.data.limit).toBeGreaterThanOrEqual(1);
        expect(parsed.data.limit).toBeLessThanOrEqual(100);
        expect(parsed.data.offset).toBeGreaterThanOrEqual(0);
        expect(parsed.data.offset).toBeLessThanOrEqual(100_000);
      }),
    );
  });

  test('of every position within the bounds is accepted as it is', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 0, max: 100_000 }), (limit, offset) => {
        expect(PageRequest.parse({ limit, offset })).toEqual({ limit, offset });
      }),
    );
  });
});

describe('ids', () => {
  test('of any other form than a UUID are refused', () => {
    fc.assert(fc.property(fc.uuid(), (id) => expect(Id.safeParse(id).success).toBe(true)));
    fc.assert(
      fc.property(fc.uuid(), fc.constantFrom('', ' ', '\n', '{', '-'), (id, extra) => {
        expect(Id.safeParse(extra === '' ? id.slice(1) : id + extra).success).toBe(false);
      }),
    );
  });

  test('of a client fit on one line of a header and in a log line, or are refused', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 140 }), (text) => {
        if (CorrelationId.safeParse(text).success) expect(text).toMatch(/^[A-Za-z0-9._-]{8,128}$/);
      }),
    );
  });
});
