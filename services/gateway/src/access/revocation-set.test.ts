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
  const set = new RevocationSet(() => 0);
  set.load({ after: 0, sequence: 10, revocations }, start);
  return set;
}

describe('the revocation set', () => {
  test('knows nothing until it has been loaded', () => {
    const set = new RevocationSet(() => 0);
    expect(set.apply({ sequence: 1, revocations: [] }, start)).toBe(false);
    expect(set.sequence).toBe(0);
    set.load({ after: 0, sequence: 1, revocations: [] }, start);
    expect(set.sequence).toBe(1);
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

  test('a clock that leaps ahead and is set back brings nothing back', () => {
    let monoMs = 0;
    const set = new RevocationSet(() => monoMs);
    set.load(
      { after: 0, sequence: 2, revocations: [session('s1'), { ...epoch(9), accountId: 'a2' } as Revocation] },
      start,
    );
    const refused = () =>
      [claims, { ...claims, sid: 's2', sub: 'a2' }].map((one) => set.isRevoked(one, start + 120_000));
    monoMs = 61_000;
    set.apply({ sequence: 2, revocations: [] }, start + 86_400_000);
    expect(refused()).toEqual([true, true]);
    // What is told while the clock is ahead, too.
    set.apply({ sequence: 3, revocations: [session('s3')] }, start + 86_400_000);
    monoMs = 130_000;
    set.apply({ sequence: 3, revocations: [] }, start + 86_400_000);
    expect(set.isRevoked({ ...claims, sid: 's3' }, start + 120_000)).toBe(true);
    // The control: when no token can be left, nothing is kept.
    monoMs = 61_000 + 3_600_000 + 61_000;
    set.apply({ sequence: 3, revocations: [] }, start + 3_722_000);
    expect(refused()).toEqual([false, false]);
  });

  test('an epoch never falls, whatever arrives late', () => {
    const set = loaded([epoch(4)]);
    set.apply({ sequence: 11, revocations: [epoch(1)] }, start);
    expect(set.isRevoked(claims, start)).toBe(true);
  });

  test('a gap is seen, what it carries counts at once, and the number does not pass the gap', () => {
    const set = loaded();
    expect(set.apply({ sequence: 12, revocations: [session('s1')] }, start)).toBe(false);
    expect(set.isRevoked(claims, start)).toBe(true);
    expect(set.sequence).toBe(10);
    set.load({ after: 10, sequence: 11, revocations: [] }, start);
    expect(set.sequence).toBe(12);
  });

  test('a head that is ahead of what is known is a gap, however it is told', () => {
    const set = loaded();
    expect(set.apply({ sequence: 10, revocations: [] }, start)).toBe(true);
    expect(set.apply({ sequence: 11, revocations: [] }, start)).toBe(false);
    set.apply({ sequence: 13, revocations: [session('s3')] }, start);
    expect(set.sequence).toBe(10);
  });

  test.each([[['11', '12', '13']], [['13', '12', '11']], [['12', '13', '11']], [['13', '11', '12', '13']]])(
    'messages in the order %j lead to the same number',
    (order) => {
      const set = loaded();
      for (const sequence of order) set.apply({ sequence: Number(sequence), revocations: [session(sequence)] }, start);
      expect(set.sequence).toBe(13);
    },
  );

  test('several revocations in one message raise the number by as many', () => {
    const set = loaded();
    expect(set.apply({ sequence: 12, revocations: [session('s1'), session('s2')] }, start)).toBe(true);
    expect(set.apply({ sequence: 12, revocations: [session('s1'), session('s2')] }, start)).toBe(true);
    expect(set.apply({ sequence: 13, revocations: [session('s3')] }, start)).toBe(true);
    expect(set.sequence).toBe(13);
  });

  test('after a restart of the numbers only a list from the beginning counts, and nothing is forgotten', () => {
    const set = loaded([session('s1')]);
    set.restart();
    expect(set.isRevoked(claims, start)).toBe(true);
    set.load({ after: 10, sequence: 4, revocations: [] }, start);
    expect(set.sequence).toBe(0);
    set.load({ after: 0, sequence: 4, revocations: [] }, start);
    expect(set.sequence).toBe(4);
  });

  test('a message that came early counts once what is before it has come, but only the first thousand wait', () => {
    const set = loaded();
    for (let sequence = 12; sequence < 1_014; sequence++) set.apply({ sequence, revocations: [session('s')] }, start);
    expect(set.apply({ sequence: 11, revocations: [session('s')] }, start)).toBe(true);
    expect(set.sequence).toBe(1_011);
  });

  test('a message that waited is forgotten with the numbers it belonged to', () => {
    const set = loaded();
    set.apply({ sequence: 6, revocations: [session('s1')] }, start);
    set.apply({ sequence: 14, revocations: [session('s2')] }, start);
    set.restart();
    set.load({ after: 0, sequence: 13, revocations: [] }, start);
    expect(set.sequence).toBe(13);
  });
});
