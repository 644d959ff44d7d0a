import { expect, test } from '@jest/globals';
import { isNearCap } from './session-cap.js';

test('sessions are counted under the lock as soon as those that are not seen yet could fill the cap', () => {
  expect(isNearCap(0, 65)).toBe(false);
  expect(isNearCap(0, 64)).toBe(true);
  expect(isNearCap(35, 100)).toBe(false);
  expect(isNearCap(36, 100)).toBe(true);
  expect(isNearCap(0, 1)).toBe(true);
});
