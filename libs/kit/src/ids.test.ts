import { expect, test } from '@jest/globals';
import { firstIdAt, newId, newIdAt } from './ids.js';

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
