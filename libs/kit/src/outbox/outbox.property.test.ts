import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import type { AuditEvent } from '@prime-nest/contracts/events';
import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { entryBytesMax } from './outbox-migration.js';
import { encodeEvent } from './outbox.js';

const event: AuditEvent = {
  schema: 'event.v1',
  id: '01900000-0000-7000-8000-00000000abcd',
  source: 'rbac',
  type: 'rbac.role.created.v1',
  occurredAt: '2026-03-01T08:00:00.000Z',
  actor: { type: 'anonymous' },
  action: 'create',
  resource: { type: 'role' },
  outcome: 'success',
  correlationId: 'abcdefgh',
  traceId: 'a'.repeat(32),
  spanId: 'b'.repeat(16),
};
type Change = NonNullable<AuditEvent['change']>['after'];
const json = fc.jsonValue({ maxDepth: 4, stringUnit: 'grapheme' }).map((value) => value as Change);

describe('the bytes of an event', () => {
  test('are the one canonical form: reading and writing them again gives the same bytes', () => {
    fc.assert(
      fc.property(json, (after) => {
        const bytes = encodeEvent({ ...event, change: { after } });
        const read: unknown = JSON.parse(bytes.toString('utf8'));
        expect(canonicalize(read)).toBe(bytes.toString('utf8'));
      }),
    );
  });

  test('do not depend on the order in which members were written', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.string()), (fields) => {
        const reversed = Object.fromEntries(Object.entries(fields).reverse());
        expect(encodeEvent({ ...event, change: { after: reversed } })).toEqual(
          encodeEvent({ ...event, change: { after: fields } }),
        );
      }),
    );
  });

  test('never exceed the bound: a bigger change is stood for by its digest', () => {
    fc.assert(
      fc.property(fc.integer({ min: 59_000, max: 62_000 }), fc.constantFrom('a', 'é', '\u2028'), (length, unit) => {
        const change = { after: { text: unit.repeat(length) } };
        const bytes = encodeEvent({ ...event, change });
        expect(bytes.length).toBeLessThanOrEqual(entryBytesMax);
        const kept = (JSON.parse(bytes.toString('utf8')) as { change: { after: { text?: string; sha256?: string } } })
          .change;
        const whole = canonicalize(change) ?? '';
        if (kept.after.text === undefined)
          expect(kept.after.sha256).toBe(createHash('sha256').update(whole).digest('hex'));
        else expect(kept).toEqual(change);
      }),
      { numRuns: 30 },
    );
  });
});
