import { describe, expect, test } from '@jest/globals';
import { redisOptions } from './redis-options.js';

describe('the address of a Redis', () => {
  test.each([
    ['redis://cache', { host: 'cache', port: 6379 }],
    ['redis://:p%40ss@cache:6380/2', { host: 'cache', port: 6380, password: 'p@ss', db: 2 }],
    ['redis://user:pw@[::1]:6379', { host: '::1', port: 6379, username: 'user', password: 'pw' }],
    ['rediss://cache', { host: 'cache', port: 6379, tls: {} }],
  ])('%s', (url, expected) => {
    expect(redisOptions({ url })).toEqual(expected);
  });

  test('may be a list of Sentinels, who are spoken to with the same password and the same encryption', () => {
    expect(redisOptions({ url: 'rediss://:pw@one,two:5000', sentinelName: 'primary' })).toEqual({
      sentinels: [
        { host: 'one', port: 26379 },
        { host: 'two', port: 5000 },
      ],
      name: 'primary',
      sentinelCommandTimeout: 1_000,
      password: 'pw',
      sentinelPassword: 'pw',
      tls: {},
      sentinelTLS: {},
      enableTLSForSentinelMode: true,
    });
  });
});
