import { describe, expect, test } from '@jest/globals';
import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { canonicalText, isCanonical } from './canonical-json.js';

/** With the keys on which an object has an order of its own, and text that has no form. */
const key = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('__proto__', 'toJSON', 'constructor', '\\ud800', '', '\u20ac', '\u{1f600}'),
  fc.nat(30).map(String),
);
const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('\ud800', '\\ud800', 'a\udc00b', '\u0000'));
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    text,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(null, true, false, -0, 1e21, 1e-7),
    fc.array(tie('value'), { maxLength: 4 }),
    // As JSON.parse makes objects: every key their own, `__proto__` included.
    fc.array(fc.tuple(key, tie('value')), { maxLength: 5 }).map(objectOf),
  ),
}));

function objectOf(entries: readonly (readonly [string, unknown])[]): object {
  const made: object = {};
  for (const [name, item] of entries)
    Object.defineProperty(made, name, { value: item, enumerable: true, writable: true, configurable: true });
  return made;
}

function byTheLibrary(of: unknown): string | undefined {
  try {
    return canonicalize(of);
  } catch {
    return undefined;
  }
}

describe('canonical JSON', () => {
  test('is written as the library of the RFC writes it, or refused as it refuses', () => {
    fc.assert(
      fc.property(value, (given) => {
        const expected = byTheLibrary(given);
        if (expected === undefined) expect(() => canonicalText(given)).toThrow();
        else expect(canonicalText(given)).toBe(expected);
      }),
      { numRuns: 2_000 },
    );
  });

  test('is recognised, and nothing else is, whatever the text', () => {
    const spaced = fc.tuple(value, fc.constantFrom(undefined, 1)).map(([of, gap]) => JSON.stringify(of, null, gap));
    const canonical = value.map((of) => byTheLibrary(of) ?? 'null');
    const doubled = canonical.map((written) => written.replace('{"', '{"\\u0061":0,"'));
    fc.assert(
      fc.property(fc.oneof(spaced, canonical, doubled), (written) => {
        const parsed: unknown = JSON.parse(written);
        expect(isCanonical(written, parsed)).toBe(byTheLibrary(parsed) === written);
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    ['{"10":1,"9":2}', true],
    ['{"9":2,"10":1}', false],
    ['{"__proto__":1,"a":2}', true],
    ['{"a":"\\ud800"}', false],
    ['{"a":"\\\\ud800"}', true],
    ['{"b":1,"a":1}', false],
    ['{"a":1,"a":1}', false],
    ['{"a":-0}', false],
    ['{"a":1.0}', false],
    [' {}', false],
  ])('%s: %s', (written, expected) => {
    expect(isCanonical(written, JSON.parse(written))).toBe(expected);
  });
});
