import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { dueTransitions, publishedKeys } from './key-ring.js';
import type { KeyPolicy, RingKey } from './key-ring.js';

const policy: KeyPolicy = { leadSeconds: 60, retiringSeconds: 900, rotationSeconds: 3_600 };
const startMs = Date.parse('2026-03-01T08:00:00Z');

/** Does what is due, as the job does, and answers the ring afterwards. */
function turn(ring: readonly RingKey[], now: Date, nextKid: () => string): RingKey[] {
  let keys = [...ring];
  const move = (kid: string, state: RingKey['state']) => {
    keys = keys.map((key) => (key.kid === kid ? { ...key, state, stateSince: now } : key));
  };
  for (const step of dueTransitions(keys, now, policy)) {
    if (step.kind === 'create') keys.push(keyOf(nextKid(), 'pending', now));
    else if (step.kind === 'retire') move(step.kid, 'retired');
    else {
      if (step.replaces !== undefined) move(step.replaces, 'retiring');
      move(step.kid, 'active');
    }
  }
  return keys;
}

function keyOf(kid: string, state: RingKey['state'], stateSince: Date): RingKey {
  return { kid, state, stateSince, publicKey: { kid, kty: 'RSA', use: 'sig', alg: 'RS256', n: 'n', e: 'AQAB' } };
}

test('whenever the job runs, one key signs, it was published before, and it is published until its tokens have ended', () => {
  const pauses = fc.array(fc.integer({ min: 1, max: 4_000 }), { minLength: 5, maxLength: 60 });
  fc.assert(
    fc.property(pauses, (seconds) => {
      let atMs = startMs;
      let made = 0;
      let ring: RingKey[] = [keyOf('k0', 'active', new Date(atMs))];
      const published = new Map<string, number>([['k0', 0]]);
      let signedUntil = new Map<string, number>();
      for (const pause of seconds) {
        atMs += pause * 1000;
        const now = new Date(atMs);
        const before = ring;
        ring = turn(ring, now, () => `k${String(++made)}`);
        // Asking again at the same time answers nothing more.
        expect(dueTransitions(ring, now, policy).filter(({ kind }) => kind !== 'create')).toEqual([]);
        const active = ring.filter(({ state }) => state === 'active');
        expect(active).toHaveLength(1);
        const kid = active[0]?.kid ?? '';
        const seen = publishedKeys(ring).map((key) => key.kid);
        expect(seen[0]).toBe(kid);
        for (const one of seen) if (!published.has(one)) published.set(one, atMs);
        const isNew = before.every((key) => key.kid !== kid || key.state !== 'active');
        if (isNew) expect(atMs - (published.get(kid) ?? atMs)).toBeGreaterThanOrEqual(policy.leadSeconds * 1000);
        const former = before.find(({ state }) => state === 'active')?.kid ?? '';
        signedUntil = new Map([...signedUntil, [former, atMs], [kid, atMs]]);
        for (const [one, until] of signedUntil)
          if (atMs - until < policy.retiringSeconds * 1000) expect(seen).toContain(one);
      }
    }),
  );
});

describe('a key that is compromised', () => {
  test('is published by nobody from then on, whatever else is in the ring', () => {
    const states = fc.array(fc.constantFrom('pending', 'active', 'retiring', 'retired', 'compromised'));
    fc.assert(
      fc.property(states, (ring) => {
        const keys = ring.map((state, index) => keyOf(`k${String(index)}`, state, new Date(startMs)));
        const shown = publishedKeys(keys).map(({ kid }) => kid);
        for (const key of keys) {
          expect(shown.includes(key.kid)).toBe(['active', 'pending', 'retiring'].includes(key.state));
        }
      }),
    );
  });
});
