import { expect, test } from '@jest/globals';
import { version } from 'uuid';
import { firstIdAt, newId, newIdAt } from './ids.js';

test('an id is a UUID of version 7, greater than every one made before it, also within a millisecond', () => {
  const ids = Array.from({ length: 100_000 }, newId);
  expect(ids.filter((id) => version(id) !== 7)).toEqual([]);
  expect(ids.filter((id, i) => i > 0 && id <= (ids[i - 1] ?? ''))).toEqual([]);
});

test('an id made at an instant is not below the first of that instant, and below the first of the next', () => {
  for (const ms of [0, 1, 1_700_000_000_000, Date.now()]) {
    const at = new Date(ms);
    const id = newIdAt(at);
    expect(firstIdAt(at) <= id).toBe(true);
    expect(id < firstIdAt(new Date(ms + 1))).toBe(true);
  }
});

test('ids of one instant differ', () => {
  const at = new Date(1_700_000_000_000);
  const ids = Array.from({ length: 10_000 }, () => newIdAt(at));
  expect(new Set([...ids, newId()]).size).toBe(10_001);
});
