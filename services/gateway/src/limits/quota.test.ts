import { describe, expect, test } from '@jest/globals';
import { localQuota, parseOverrides, routeQuota } from './quota.js';

const lane = { name: 'address', max: 100, windowSeconds: 900 };

describe('a route’s quota', () => {
  test.each([
    [{ name: 'login', share: 0.3 }, {}, { name: 'login', max: 30, windowSeconds: 900 }],
    [{ name: 'login', share: 0.001 }, {}, { name: 'login', max: 1, windowSeconds: 900 }],
    [{ name: 'login', share: 0.3 }, { login: { max: 7 } }, { name: 'login', max: 7, windowSeconds: 900 }],
    [
      { name: 'login', share: 0.3 },
      { login: { max: 7, windowSeconds: 60 }, refresh: { max: 1 } },
      { name: 'login', max: 7, windowSeconds: 60 },
    ],
  ])('%j with the overrides %j is %j', (limit, overrides, expected) => {
    expect(routeQuota(limit, lane, overrides)).toEqual(expected);
  });

  test('without Redis is half of it and at least one', () => {
    expect([localQuota(lane).max, localQuota({ ...lane, max: 1 }).max]).toEqual([50, 1]);
  });
});

describe('overrides', () => {
  test('are read with and without a window of their own', () => {
    expect(parseOverrides('login=10, audit-export=5/3600')).toEqual({
      login: { max: 10 },
      'audit-export': { max: 5, windowSeconds: 3600 },
    });
  });

  test.each([
    '',
    'login',
    'login=',
    'login=0',
    'login=-1',
    'login=1e3',
    'login=5/0',
    'login=5/',
    'login=1,login=2',
    'a=1;b=2',
    'Login=1',
    '__proto__=1',
  ])('%j is not understood', (text) => {
    expect(parseOverrides(text)).toBeUndefined();
  });
});
