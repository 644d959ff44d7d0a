import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseStrictJson } from './strict-json.js';

const parse = (text: string, depth = 8) => parseStrictJson(Buffer.from(text), depth);

describe('strict JSON', () => {
  test('is what JSON.parse says for every value without a member twice', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        const text = JSON.stringify(value);
        if (text.includes('__proto__') || text.includes('\\u')) return;
        expect(parse(text, 64)).toEqual({ value: JSON.parse(text) as unknown });
      }),
      { numRuns: 500 },
    );
  });

  test('is never more than JSON.parse accepts', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'{}[]",:\\u0a1 e-.truefalsn') }), (text) => {
        if ('value' in parse(text, 64)) expect(() => JSON.parse(text) as unknown).not.toThrow();
      }),
      { numRuns: 3_000 },
    );
  });

  test.each([
    ['{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}]}', undefined],
    ['{"a":1,"a":1}', 'duplicate_member'],
    ['{"a":1,"\\u0061":1}', 'duplicate_member'],
    ['{"a":{"b":1,"b":2}}', 'duplicate_member'],
    ['[{"b":1},{"b":1,"b":2}]', 'duplicate_member'],
    ['{"a":"a","b":"a"}', undefined],
    ['{"a":["a","a"]}', undefined],
    ['{"a\\"":1,"a":1}', undefined],
    ['{"__proto__":1}', 'forbidden_member'],
    ['{"a":"__proto__"}', undefined],
    ['["\\ud83d\\ude00"]', undefined],
    ['["\\ud83d"]', 'bad_text'],
    ['["\\u0000"]', 'bad_text'],
    ['{"\\u0000":1}', 'bad_text'],
    ['["\\\\u0000"]', undefined],
    ['"unterminated', 'malformed'],
    ['', 'malformed'],
    ['{"a":1}{"a":1}', 'malformed'],
  ])('%s → %s', (text, problem) => {
    const result = parse(text);
    expect('problem' in result ? result.problem : undefined).toBe(problem);
  });

  test('a million levels are refused without being built', () => {
    expect(parse('['.repeat(1_000_000), 32)).toEqual({ problem: 'too_deep' });
    expect(parse('{"a":'.repeat(1_000_000), 32)).toEqual({ problem: 'too_deep' });
  });

  test('the bound is exact', () => {
    expect(parse('['.repeat(8) + ']'.repeat(8))).toHaveProperty('value');
    expect(parse('['.repeat(9) + ']'.repeat(9))).toEqual({ problem: 'too_deep' });
  });
});
