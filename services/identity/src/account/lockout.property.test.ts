import { createHmac, createSecretKey } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { deviceLane, identifierOf, reauthLane, secondsUntil, sourceLane, strangerLane } from './lockout.js';

const key = createSecretKey(Buffer.alloc(32, 7));

describe('a lane', () => {
  const hmac = (text: string) => createHmac('sha256', key).update(text).digest();

  // Counters and locks stand in the database under these keys: another form would open every lock at an upgrade.
  test('has the key under which earlier versions stored it', () => {
    const email = 'somebody@example.org';
    const identifier = hmac(`identifier\n${email}`);
    expect(identifierOf(key, email)).toEqual(identifier);
    expect(strangerLane(key, email)).toEqual({ kind: 'stranger', key: hmac(`stranger\n${email}`), identifier });
    expect(reauthLane(key, email)).toEqual({ kind: 'reauth', key: hmac(`reauth\n${email}`), identifier });
    expect(deviceLane(key, email, 'd')).toEqual({ kind: 'device', key: hmac(`device\n${email}\nd`), identifier });
    expect(sourceLane(key, '2001:db8::1')).toEqual({
      kind: 'source',
      key: hmac('source\n2001:db8:0:0::/64'),
      identifier: null,
    });
  });

  test('of one kind and account is never that of another', () => {
    const email = fc.emailAddress();
    fc.assert(
      fc.property(email, email, fc.uuid(), (a, b, device) => {
        const lanes = [strangerLane(key, a), reauthLane(key, a), deviceLane(key, a, device), strangerLane(key, b)];
        const keys = lanes.map((lane) => lane.key.toString('hex'));
        expect(new Set(keys).size).toBe(a === b ? 3 : 4);
      }),
    );
  });
});

test('the wait is never shorter than the lock and never more than a second longer', () => {
  const instant = fc.date({ min: new Date('2020-01-01'), max: new Date('2040-01-01'), noInvalidDate: true });
  fc.assert(
    fc.property(instant, fc.integer({ min: 1, max: 86_400_000 }), (now, ms) => {
      const waitMs = secondsUntil(new Date(now.getTime() + ms), now) * 1000;
      expect(waitMs).toBeGreaterThanOrEqual(ms);
      expect(waitMs).toBeLessThan(ms + 1000);
      expect(secondsUntil(now, new Date(now.getTime() + ms))).toBe(1);
    }),
  );
});
