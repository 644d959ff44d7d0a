import { describe, expect, test } from '@jest/globals';
import { judgeRedemption, type Redemption } from './redemption.js';

const rotatedAt = new Date('2026-03-01T08:00:00Z');
const base: Redemption = {
  presentedGeneration: 4,
  currentGeneration: 5,
  isLive: true,
  rotatedAt,
  isSameRequest: false,
  now: new Date(rotatedAt.getTime() + 1),
  reuseWindowSeconds: 0,
};
const after = (seconds: number) => new Date(rotatedAt.getTime() + seconds * 1000);
const recent = { kind: 'reuse', age: 'recent' };
const stale = { kind: 'reuse', age: 'stale' };

describe('redeeming a refresh token that is not the current one', () => {
  test.each([
    ['a superseded one is reuse', {}, recent],
    ['the same request again within a minute is a repeat', { isSameRequest: true, now: after(60) }, { kind: 'repeat' }],
    ['the same request later is reuse', { isSameRequest: true, now: after(60.001) }, recent],
    ['within a configured window it is a repeat', { reuseWindowSeconds: 10, now: after(10) }, { kind: 'repeat' }],
    ['after the window it is reuse', { reuseWindowSeconds: 10, now: after(10.001) }, recent],
    ['two generations back is reuse inside a window too', { presentedGeneration: 3, reuseWindowSeconds: 10 }, stale],
    ['two generations back is reuse with the same key too', { presentedGeneration: 3, isSameRequest: true }, stale],
    ['of a dead session nothing is reuse', { isLive: false }, { kind: 'dead' }],
    ['one from the future is neither', { presentedGeneration: 6 }, { kind: 'ahead' }],
    ['the current one is to be tried again', { presentedGeneration: 5 }, { kind: 'current' }],
  ] as const)('%s', (_name, change, standing) => {
    expect(judgeRedemption({ ...base, ...change })).toEqual(standing);
  });
});
