import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { z } from 'zod';
import { isPlainDecideRequest, isPlainDecideResponse } from './rbac-decide.js';
import { rbacRpc } from './rbac.js';

const { request, response } = rbacRpc['rbac.access.decide.v1'];
const id = '01900000-0000-7000-8000-000000000001';

/** Mostly right, and wrong in every way that is near: other types, other keys, other lengths, other letters. */
const odd = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>(undefined, null, NaN, -0, -1, 1.5, 2 ** 53, '', id, [], {}),
  fc.string({ maxLength: 4 }),
);
const mostly = <T>(right: fc.Arbitrary<T>) => fc.oneof({ arbitrary: right, weight: 30 }, { arbitrary: odd, weight: 1 });
const fields = (shape: Record<string, fc.Arbitrary<unknown>>, required: string[]) =>
  fc
    .tuple(
      fc.record(shape, { requiredKeys: required, noNullPrototype: true }),
      fc.nat(40),
      fc.string({ maxLength: 6 }),
      odd,
    )
    .map(([record, dice, key, value]): object => {
      if (dice === 0) return { ...record, [key]: value };
      if (dice === 1) return Object.fromEntries(Object.entries(record).slice(1));
      return record;
    });
const ids = fc.oneof(
  { arbitrary: fc.uuid(), weight: 20 },
  { arbitrary: fc.uuid().map((one) => one.toUpperCase()), weight: 1 },
  { arbitrary: fc.constantFrom(`${id} `, `${id}\n`, id.slice(1), '00000000-0000-0000-0000-000000000000'), weight: 1 },
);
const names = fc.oneof(
  { arbitrary: fc.stringMatching(/^[a-z][a-z0-9_]{0,47}:[a-z][a-z0-9_]{0,47}$/), weight: 20 },
  {
    arbitrary: fc.constantFrom('users:view\n', 'Users:view', 'users:', ':view', 'users:view:all', 'ſ:a', 'users：view'),
    weight: 1,
  },
);
const check = mostly(fields({ principalId: mostly(ids), permission: mostly(names) }, ['principalId', 'permission']));
const revisions = mostly(fc.oneof(fc.nat(), fc.constant(Number.MAX_SAFE_INTEGER)));
const requests = fields({ checks: mostly(fc.array(check, { maxLength: 4 })), minRevision: revisions }, ['checks']);
const reasons = fc.constantFrom(
  'unknown_principal',
  'principal_inactive',
  'unknown_permission',
  'feature_inactive',
  'no_grant',
  'expired',
);
const decision = mostly(
  fields({ effect: mostly(fc.constantFrom('allow', 'deny')), reason: mostly(reasons) }, ['effect']),
);
const responses = fields({ revision: revisions, decisions: mostly(fc.array(decision, { maxLength: 4 })) }, [
  'revision',
  'decisions',
]);

describe.each<[string, (value: unknown) => boolean, z.ZodType, fc.Arbitrary<object>]>([
  ['request', isPlainDecideRequest, request, requests],
  ['response', isPlainDecideResponse, response, responses],
])('the short way to recognize a %s', (_name, isPlain, schema, values) => {
  test('takes only what the schema accepts and hands out unchanged', () => {
    const seen = { plain: 0, accepted: 0, refused: 0 };
    fc.assert(
      fc.property(fc.oneof(values, odd), (value) => {
        const parsed = schema.safeParse(value);
        seen[parsed.success ? 'accepted' : 'refused']++;
        if (!isPlain(value)) return;
        seen.plain++;
        expect(parsed.success).toBe(true);
        expect(parsed.data).toStrictEqual(value);
      }),
      { numRuns: 10_000 },
    );
    // The control: it does take most of what is right, and there was much that is wrong.
    expect(seen.plain).toBeGreaterThan(seen.accepted * 0.2);
    expect(seen.refused).toBeGreaterThan(500);
  });
});

test('the short way knows the bounds of a batch', () => {
  const checks = (count: number) => ({
    checks: Array.from({ length: count }, () => ({ principalId: id, permission: 'users:view' })),
  });
  expect([0, 1, 1_000, 1_001].map((count) => isPlainDecideRequest(checks(count)))).toEqual([false, true, true, false]);
  expect([0, 1, 1_000, 1_001].map((count) => request.safeParse(checks(count)).success)).toEqual([
    false,
    true,
    true,
    false,
  ]);
});
