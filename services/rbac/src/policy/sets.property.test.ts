import { describe, expect, test } from '@jest/globals';
import { AppError } from '@prime-nest/contracts/errors';
import fc from 'fast-check';
import { changedFields, current } from '../catalog/change.js';
import { parsePolicyFile } from '../catalog/policy-file.js';
import { bitsetOf, emptyBitset, hasBit, intersection, isEmpty, isSubset, members, minus, union } from './bitset.js';

const numbers = fc.array(fc.nat(200), { maxLength: 60 });
const sorted = (values: Iterable<number>) => [...new Set(values)].sort((a, b) => a - b);

describe('a bitset', () => {
  test('is a set of numbers: every operation gives what it gives for sets', () => {
    fc.assert(
      fc.property(numbers, numbers, fc.nat(300), (a, b, probe) => {
        const [left, right] = [bitsetOf(a), bitsetOf(b)];
        const [setA, setB] = [new Set(a), new Set(b)];
        expect([...members(left)]).toEqual(sorted(a));
        expect(hasBit(left, probe)).toBe(setA.has(probe));
        expect([...members(union([left, right]))]).toEqual(sorted([...a, ...b]));
        expect([...members(intersection(left, right))]).toEqual(sorted(a.filter((one) => setB.has(one))));
        expect([...members(minus(left, right))]).toEqual(sorted(a.filter((one) => !setB.has(one))));
        expect(isSubset(left, right)).toBe(a.every((one) => setB.has(one)));
        expect(isEmpty(minus(left, left))).toBe(true);
        expect(isEmpty(left)).toBe(a.length === 0);
      }),
      { numRuns: 300 },
    );
    expect([...members(union([]))]).toEqual([]);
    expect(isSubset(emptyBitset, emptyBitset)).toBe(true);
  });

  test('is not changed by being joined or compared', () => {
    fc.assert(
      fc.property(numbers, numbers, (a, b) => {
        const [left, right] = [bitsetOf(a), bitsetOf(b)];
        for (const use of [() => union([left, right]), () => minus(left, right), () => intersection(left, right)])
          use();
        expect([[...members(left)], [...members(right)]]).toEqual([sorted(a), sorted(b)]);
      }),
    );
  });
});

describe('a policy file', () => {
  test('is read, or refused with an error of ours, whatever it holds', () => {
    const text = fc.oneof(
      fc.string(),
      fc.jsonValue().map((value) => JSON.stringify(value)),
      fc
        .record({ features: fc.jsonValue(), roles: fc.jsonValue(), grants: fc.jsonValue() }, { requiredKeys: [] })
        .map((value) => JSON.stringify(value)),
    );
    fc.assert(
      fc.property(text, (file) => {
        try {
          const policy = parsePolicyFile(file);
          expect(Object.keys(policy).sort()).toEqual(['features', 'grants', 'roles']);
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
          expect(['malformed_json', 'validation_failed']).toContain((error as AppError).code);
        }
      }),
    );
  });
});

describe('a change', () => {
  test('names exactly the fields that differ, as they were and as they are', () => {
    const fields = fc.record({ a: fc.nat(2), b: fc.boolean(), c: fc.constantFrom('x', 'y') });
    fc.assert(
      fc.property(fields, fields, (before, after) => {
        const change = changedFields(before, after, ['a', 'b', 'c']);
        const names = (['a', 'b', 'c'] as const).filter((name) => before[name] !== after[name]);
        if (names.length === 0) return expect(change).toBeUndefined();
        expect({ ...before, ...change?.after }).toEqual(after);
        expect({ ...after, ...change?.before }).toEqual(before);
        expect(Object.keys(change?.after ?? {}).sort()).toEqual([...names].sort());
      }),
    );
  });

  test('of another version than the caller has seen is refused', () => {
    fc.assert(
      fc.property(fc.nat(5), fc.option(fc.nat(5), { nil: undefined }), (version, seen) => {
        const find = () => current({ version }, seen);
        if (seen === undefined || seen === version) expect(find()).toEqual({ version });
        else expect(find).toThrow('version_conflict');
      }),
    );
  });
});
