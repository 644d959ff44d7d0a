import { describe, expect, test } from '@jest/globals';
import { AppError } from '@prime-nest/contracts/errors';
import fc from 'fast-check';
import { changedFields, current } from '../catalog/change.js';
import { parsePolicyFile } from '../catalog/policy-file.js';
import { BitRows } from './bit-rows.js';
import { bitsetOf, emptyBitset, hasBit, intersection, isEmpty, isSubset, members, minus, union } from './bitset.js';
import { PrincipalTable } from './principal-table.js';
import { ShardedMap } from './sharded-map.js';
import { UuidTable } from './uuid-table.js';

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

describe('a sharded map', () => {
  const key = fc.oneof(fc.constantFrom('', 'a', 'b'), fc.uuid(), fc.string());
  const writes = fc.array(fc.record({ key, value: fc.option(fc.nat(3)) }), { maxLength: 80 });

  test('is a map, and a copy that is written leaves the original alone', () => {
    fc.assert(
      fc.property(writes, writes, (first, second) => {
        const apply = (map: ShardedMap<number>, model: Map<string, number>, list: typeof first) => {
          const draft = map.edit();
          for (const { key: at, value } of list) {
            if (value === null) draft.delete(at);
            else draft.set(at, value);
            if (value === null) model.delete(at);
            else model.set(at, value);
            expect(draft.get(at)).toBe(model.get(at));
          }
          return draft.seal();
        };
        const model = new Map<string, number>();
        const before = apply(ShardedMap.empty(), model, first);
        const old = new Map(model);
        const after = apply(before, model, second);
        expect(new Map(before.entries())).toEqual(old);
        expect(new Map(after.entries())).toEqual(model);
        expect([before.size, after.size]).toEqual([old.size, model.size]);
        const changed = new Map([...after.changedSince(before)].map((one) => [one.key, [one.before, one.after]]));
        const expected = [...new Set([...old.keys(), ...model.keys()])]
          .filter((at) => old.get(at) !== model.get(at))
          .map((at): [string, unknown] => [at, [old.get(at), model.get(at)]]);
        expect(changed).toEqual(new Map(expected));
      }),
    );
  });
});

describe('a table of ids', () => {
  /** Ids that differ in one place, or only look alike, beside ones that have nothing in common. */
  const near = fc
    .tuple(fc.constantFrom(0, 7, 9, 14, 19, 24, 35), fc.constantFrom(...'019af'))
    .map(([at, digit]) => withDigit('01890000-0000-7000-8000-00000000000a', at, digit));
  const spoilt = fc.tuple(near, fc.nat(35), fc.constantFrom('A', 'F', 'g', '-', '_', ' ', 'é', '０')).map(spoil);
  const key = fc.oneof(near, fc.uuid(), spoilt, fc.constantFrom('', 'a', '__proto__'), fc.string());
  const writes = fc.array(fc.record({ key, value: fc.integer({ min: 1, max: 3 }) }), { maxLength: 120 });

  test('is a map of exact texts, and a copy that is written leaves the original alone', () => {
    fc.assert(
      fc.property(writes, writes, fc.array(key), (first, second, absent) => {
        const apply = (table: UuidTable, model: Map<string, number>, list: typeof first) => {
          const draft = table.edit();
          for (const { key: at, value } of list) {
            draft.set(at, value);
            model.set(at, value);
            expect(draft.get(at)).toBe(value);
          }
          return draft.seal();
        };
        const model = new Map<string, number>();
        const before = apply(UuidTable.empty(), model, first);
        const old = new Map(model);
        const after = apply(before, model, second);
        expect(new Map(before.entries())).toEqual(old);
        expect(new Map(after.entries())).toEqual(model);
        expect([before.size, after.size]).toEqual([old.size, model.size]);
        for (const at of [...model.keys(), ...absent]) {
          expect(before.get(at)).toBe(old.get(at) ?? 0);
          expect(after.get(at)).toBe(model.get(at) ?? 0);
        }
        const changed = [...after.changedSince(before)];
        expect(changed.length).toBe(new Set(changed.map(({ id }) => id)).size);
        const expected = [...model].filter(([at, value]) => old.get(at) !== value);
        expect(new Map(changed.map((one) => [one.id, [one.before, one.after]]))).toEqual(
          new Map(expected.map(([at, value]): [string, unknown] => [at, [old.get(at) ?? 0, value]])),
        );
      }),
    );
  });

  test('finds each of very many, also after it has grown', () => {
    const ids = Array.from({ length: 20_000 }, (_, i) => `01890000-0000-7000-8000-${i.toString(16).padStart(12, '0')}`);
    const draft = UuidTable.empty().edit();
    for (const [i, id] of ids.entries()) draft.set(id, i + 1);
    const table = draft.seal();
    expect(table.size).toBe(ids.length);
    expect(ids.filter((id, i) => table.get(id) !== i + 1)).toEqual([]);
    expect(ids.filter((id) => table.get(id.replace('0189', '0188')) !== 0)).toEqual([]);
  });

  test.each([0, -1, 1.5, NaN, 2 ** 31])('%p is no number it can keep', (value) => {
    const draft = UuidTable.empty().edit();
    expect(() => {
      draft.set('01890000-0000-7000-8000-00000000000a', value);
    }).toThrow(RangeError);
  });
});

describe('rows of bits', () => {
  const writes = fc.array(fc.record({ row: fc.nat(600), members: fc.array(fc.nat(700), { maxLength: 8 }) }), {
    maxLength: 12,
  });

  test('are sets known by number, and a copy that is written leaves the original alone', () => {
    fc.assert(
      fc.property(writes, writes, fc.nat(700), (first, second, probe) => {
        const apply = (rows: BitRows, model: Map<number, number[]>, list: typeof first) => {
          const draft = rows.edit();
          for (const { row, members: held } of list) {
            draft.set(row, bitsetOf(held));
            model.set(row, sorted(held));
          }
          return draft.seal();
        };
        const model = new Map<number, number[]>();
        const before = apply(BitRows.empty(), model, first);
        const old = new Map(model);
        const after = apply(before, model, second);
        for (const row of [...model.keys(), 0, 255, 256, 5_000]) {
          const [then, now] = [old.get(row) ?? [], model.get(row) ?? []];
          expect([...members(before.row(row))]).toEqual(then);
          expect([...members(after.row(row))]).toEqual(now);
          for (const index of [probe, ...now]) {
            expect(before.has(row, index)).toBe(then.includes(index));
            expect(after.has(row, index)).toBe(now.includes(index));
          }
          expect(after.holds(row, bitsetOf(now))).toBe(true);
          expect(after.holds(row, bitsetOf([probe]))).toBe(now.includes(probe));
          expect(after.isSame(row, before)).toBe(now.join() === then.join());
          expect(before.isSame(row, after)).toBe(now.join() === then.join());
        }
      }),
    );
  });
});

describe('a table of principals', () => {
  const timed = fc.array(fc.record({ roleId: fc.constantFrom('r', 's'), expiresAtMs: fc.nat(3) }), { maxLength: 2 });
  const entry = fc.record({ isActive: fc.boolean(), slot: fc.oneof(fc.nat(3), fc.constant(2 ** 28 - 1)), timed });
  const writes = fc.array(fc.tuple(fc.constantFrom(...Array.from({ length: 6 }, (_, i) => `u${i}`)), entry));

  test('gives back what was put, and names whoever changed', () => {
    fc.assert(
      fc.property(writes, writes, (first, second) => {
        const apply = (table: PrincipalTable, list: typeof first) => {
          const draft = table.edit();
          for (const [id, value] of list) draft.set(id, value);
          return draft.seal();
        };
        const before = apply(new PrincipalTable(), first);
        const after = apply(before, second);
        const [old, model] = [new Map(first), new Map([...first, ...second])];
        expect(new Map(before.entries())).toEqual(old);
        expect(new Map(after.entries())).toEqual(model);
        expect(after.size).toBe(model.size);
        for (const id of ['u0', 'u1', 'nobody']) expect(after.get(id)).toEqual(model.get(id));
        const changed = new Set(after.changedSince(before));
        for (const [id, value] of model) {
          if (JSON.stringify(value) !== JSON.stringify(old.get(id))) expect(changed).toContain(id);
          else if (second.every(([written]) => written !== id)) expect(changed).not.toContain(id);
        }
      }),
    );
    const draft = new PrincipalTable().edit();
    expect(() => {
      draft.set('u', { isActive: true, slot: 2 ** 28, timed: [] });
    }).toThrow(RangeError);
  });
});

function withDigit(id: string, at: number, digit: string): string {
  return id.slice(0, at) + digit + id.slice(at + 1);
}

function spoil([id, at, character]: [string, number, string]): string {
  return withDigit(id, at, character);
}

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
