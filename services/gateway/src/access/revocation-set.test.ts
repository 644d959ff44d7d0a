import { describe, expect, test } from '@jest/globals';
import type { AccessTokenClaims } from '@prime-nest/contracts/claims';
import type { Revocation } from '@prime-nest/contracts/identity';
import { RevocationSet } from './revocation-set.js';

const start = Date.parse('2026-03-01T12:00:00.000Z');
const until = new Date(start + 900_000).toISOString();
const claims = { sid: 's1', sub: 'a1', ver: 3 } as AccessTokenClaims;
const session = (sessionId: string): Revocation => ({ kind: 'session', sessionId, until });
const epoch = (minEpoch: number): Revocation => ({ kind: 'epoch', accountId: 'a1', minEpoch, until });

function loaded(revocations: Revocation[] = []): RevocationSet {
  const set = new RevocationSet(5_000);
  set.load({ sequence: 10, revocations }, start);
  return set;
}

describe('the revocation set', () => {
  test('knows nothing and is stale until it has been loaded', () => {
    const set = new RevocationSet(5_000);
    expect(set.apply({ sequence: 1, revocations: [] }, start)).toBe(false);
    expect(set.isFresh(start)).toBe(false);
    set.load({ sequence: 1, revocations: [] }, start);
    expect(set.isFresh(start)).toBe(true);
  });

  test('refuses a session, and every token of an account below its epoch', () => {
    expect(loaded([session('s1')]).isRevoked(claims, start)).toBe(true);
    expect(loaded([session('s2')]).isRevoked(claims, start)).toBe(false);
    expect(loaded([epoch(4)]).isRevoked(claims, start)).toBe(true);
    expect(loaded([epoch(3)]).isRevoked(claims, start)).toBe(false);
  });

  test('forgets an entry when the last token it concerns has ended', () => {
    const set = loaded([session('s1'), epoch(9)]);
    expect(set.isRevoked(claims, start + 899_999)).toBe(true);
    expect(set.isRevoked(claims, start + 900_000)).toBe(false);
  });

  test('an epoch never falls, whatever arrives late', () => {
    const set = loaded([epoch(4)]);
    set.apply({ sequence: 11, revocations: [epoch(1)] }, start);
    expect(set.isRevoked(claims, start)).toBe(true);
  });

  test('stays fresh with messages in sequence and turns stale at its bound without', () => {
    const set = loaded();
    expect(set.apply({ sequence: 10, revocations: [] }, start + 4_000)).toBe(true);
    expect(set.isFresh(start + 9_000)).toBe(true);
    expect(set.isFresh(start + 9_001)).toBe(false);
  });

  test('a gap is seen, what it carries counts at once, and it does not make the set fresher', () => {
    const set = loaded();
    expect(set.apply({ sequence: 12, revocations: [session('s1')] }, start + 4_000)).toBe(false);
    expect(set.isRevoked(claims, start + 4_000)).toBe(true);
    expect(set.isFresh(start + 5_001)).toBe(false);
    set.load({ sequence: 12, revocations: [] }, start + 5_500);
    expect(set.isFresh(start + 5_501)).toBe(true);
    expect(set.isRevoked(claims, start + 5_501)).toBe(true);
  });

  test('several revocations in one message raise the sequence by as many', () => {
    const set = loaded();
    expect(set.apply({ sequence: 12, revocations: [session('s1'), session('s2')] }, start)).toBe(true);
    expect(set.apply({ sequence: 12, revocations: [session('s1'), session('s2')] }, start)).toBe(true);
    expect(set.apply({ sequence: 13, revocations: [session('s3')] }, start)).toBe(true);
  });

  test('a sequence that falls back is a gap: somebody restored something', () => {
    const set = loaded();
    expect(set.apply({ sequence: 4, revocations: [] }, start)).toBe(false);
  });
});
