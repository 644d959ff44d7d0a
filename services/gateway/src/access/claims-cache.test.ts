import { describe, expect, test } from '@jest/globals';
import type { AccessTokenClaims } from '@prime-nest/contracts/claims';
import { ClaimsCache } from './claims-cache.js';

const nowMs = Date.parse('2026-03-01T12:00:00.000Z');
const claims = (secondsLeft: number) => ({ sub: 'a', exp: nowMs / 1000 + secondsLeft }) as AccessTokenClaims;

describe('a remembered token', () => {
  test('is known for a minute and not longer', () => {
    const cache = new ClaimsCache();
    cache.put('token', claims(900), nowMs, 1);
    expect(cache.get('token', nowMs, 1)).toEqual(claims(900));
    expect(cache.get('token', nowMs + 59_999, 1)).toEqual(claims(900));
    expect(cache.get('token', nowMs + 60_000, 1)).toBeUndefined();
  });

  test('is forgotten in the second in which it expires', () => {
    const cache = new ClaimsCache();
    cache.put('token', claims(10), nowMs, 1);
    expect(cache.get('token', nowMs + 9_999, 1)).toBeDefined();
    expect(cache.get('token', nowMs + 10_000, 1)).toBeUndefined();
  });

  test('is not known once the keys have changed', () => {
    const cache = new ClaimsCache();
    cache.put('token', claims(900), nowMs, 1);
    expect(cache.get('token', nowMs, 2)).toBeUndefined();
    expect(cache.get('token', nowMs, 1)).toBeDefined();
  });

  test('is known by all of its bytes, and is nobody else', () => {
    const cache = new ClaimsCache();
    cache.put('token', claims(900), nowMs, 1);
    for (const other of ['', 'Token', 'token ', 'tokeN', 'toke']) expect(cache.get(other, nowMs, 1)).toBeUndefined();
  });
});
