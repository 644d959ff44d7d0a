import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BitRows } from './bit-rows.js';
import { bitsetOf, members } from './bitset.js';
import { PrincipalTable, isSeatActive, isSeatTimed, slotOfSeat } from './principal-table.js';
import { ShardedMap } from './sharded-map.js';
import { UuidTable } from './uuid-table.js';

const sorted = (values: Iterable<number>) => [...new Set(values)].sort((a, b) => a - b);

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

  // Ids that differ in one of their four words alone: where two fall on the same row, that word keeps them apart.
  test.each([
    ['first', (word: string) => `${word}-0000-7000-8000-00000000000a`],
    ['second', (word: string) => `01890000-${word.slice(0, 4)}-${word.slice(4)}-8000-00000000000a`],
    ['third', (word: string) => `01890000-0000-7000-${word.slice(0, 4)}-${word.slice(4)}0000000a`],
    ['last', (word: string) => `01890000-0000-7000-8000-0000${word}`],
  ])('finds each of very many that differ in the %s word, also after it has grown', (_which, idOf) => {
    const idAt = (i: number) => idOf(i.toString(16).padStart(8, '0'));
    const ids = ['00000000-0000-0000-0000-000000000000', ...Array.from({ length: 5_000 }, (_, i) => idAt(i))];
    const draft = UuidTable.empty().edit();
    for (const [i, id] of ids.entries()) draft.set(id, i + 1);
    const table = draft.seal();
    expect(table.size).toBe(ids.length);
    expect(ids.filter((id, i) => table.get(id) !== i + 1)).toEqual([]);
    expect(ids.filter((_, i) => table.get(idAt(i + ids.length)) !== 0)).toEqual([]);
    const listed = [...table.entries()];
    expect(listed.length).toBe(ids.length);
    expect(listed.filter(([id, number]) => ids[number - 1] !== id)).toEqual([]);
  });

  test.each([
    ['go on after an id', ['', '0', '1', ' '].map((end) => `01890000-0000-7000-8000-00000000000a${end}`)],
    [
      'have something else for its hyphens',
      ['-', '_', 'x', '0'].map((one) => '01890000-0000-7000-8000-00000000000a'.replaceAll('-', one)),
    ],
    [
      'have something else for a digit',
      ['0', 'é', '０', 'g', ' '].map((one) => `0000000${one}-0000-0000-0000-000000000000`),
    ],
  ])('texts that %s are not that id, nor one another', (_which, texts) => {
    const draft = UuidTable.empty().edit();
    for (const [i, text] of texts.entries()) draft.set(text, i + 1);
    expect(texts.map((text) => draft.seal().get(text))).toEqual(texts.map((_, i) => i + 1));
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

  test('end where they end: what follows in memory is the row of somebody else', () => {
    const draft = BitRows.empty().edit();
    draft.set(0, bitsetOf([0]));
    draft.set(1, bitsetOf([0, 31]));
    const rows = draft.seal();
    // A row is eight words wide at first: the bit 256 of row 0 would be the bit 0 of row 1.
    for (const index of [256, 287, 512]) expect(rows.has(0, index)).toBe(false);
    expect(rows.holds(0, bitsetOf([0, 256]))).toBe(false);
    expect(rows.has(1, 0) && rows.has(1, 31)).toBe(true);
    const wider = rows.edit();
    wider.set(2, bitsetOf([300]));
    expect(rows.isSame(0, wider.seal())).toBe(true);
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
        for (const id of ['u0', 'u1', 'nobody']) {
          const [entry, seat] = [model.get(id), after.seatOf(id)];
          expect(after.get(id)).toEqual(entry);
          // Assignments that were taken away are gone, and not only out of sight.
          expect(after.timedOf(id)).toEqual(entry?.timed ?? []);
          expect([isSeatActive(seat), isSeatTimed(seat), slotOfSeat(seat)]).toEqual([
            entry?.isActive ?? false,
            entry !== undefined && entry.timed.length > 0,
            entry?.slot ?? 0,
          ]);
        }
        const changed = new Set(after.changedSince(before));
        for (const [id, value] of model) {
          if (JSON.stringify(value) !== JSON.stringify(old.get(id))) expect(changed).toContain(id);
          else if (second.every(([written]) => written !== id)) expect(changed).not.toContain(id);
        }
      }),
    );
  });

  test('does not name somebody who was written as before', () => {
    const entry = { isActive: true, slot: 3, timed: [] };
    const draft = new PrincipalTable().edit();
    draft.set('u', entry);
    const before = draft.seal();
    const again = before.edit();
    again.set('u', { ...entry, timed: [] });
    expect([...again.seal().changedSince(before)]).toEqual([]);
    const other = before.edit();
    other.set('u', { ...entry, slot: 4 });
    expect([...other.seal().changedSince(before)]).toEqual(['u']);
  });

  // Cut to its last bits, such a number would be the set of roles of somebody else.
  test.each([2 ** 28, 2 ** 28 + 1, 2 ** 29 + 3, 2 ** 32])('%p is no slot it can keep', (slot) => {
    const draft = new PrincipalTable().edit();
    expect(() => {
      draft.set('u', { isActive: true, slot, timed: [] });
    }).toThrow(RangeError);
  });
});

function withDigit(id: string, at: number, digit: string): string {
  return id.slice(0, at) + digit + id.slice(at + 1);
}

function spoil([id, at, character]: [string, number, string]): string {
  return withDigit(id, at, character);
}
