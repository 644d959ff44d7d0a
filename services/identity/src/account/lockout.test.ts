import { createSecretKey } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { mintDeviceToken, readDeviceToken } from './device.js';
import { deviceLane, identifierOf, reauthLane, secondsUntil, sourceLane, standingOf, strangerLane } from './lockout.js';

const key = createSecretKey(Buffer.alloc(32, 1));
const email = 'somebody@example.org';

describe('lanes', () => {
  test('are different for every kind, account and device, and keep no address readable', () => {
    const lanes = [
      strangerLane(key, email),
      strangerLane(key, 'other@example.org'),
      deviceLane(key, email, 'a'),
      deviceLane(key, email, 'b'),
      reauthLane(key, email),
      sourceLane(key, '192.0.2.1'),
    ];
    expect(new Set(lanes.map((lane) => lane.key.toString('hex'))).size).toBe(lanes.length);
    for (const lane of lanes) expect(lane.key.toString('latin1')).not.toContain('somebody');
  });

  test('of one account share its identifier; a source belongs to nobody', () => {
    const identifier = identifierOf(key, email);
    expect(strangerLane(key, email).identifier).toEqual(identifier);
    expect(deviceLane(key, email, 'a').identifier).toEqual(identifier);
    expect(sourceLane(key, '192.0.2.1').identifier).toBeNull();
  });

  test('of a source is that of its whole network', () => {
    expect(sourceLane(key, '2001:DB8:1:2::ffff')).toEqual(sourceLane(key, '2001:db8:1:2::1'));
    expect(sourceLane(key, '2001:db8:1:3::1')).not.toEqual(sourceLane(key, '2001:db8:1:2::1'));
  });

  test('the wait is in whole seconds, rounded up', () => {
    const now = new Date(0);
    expect(secondsUntil(new Date(899_001), now)).toBe(900);
    expect(secondsUntil(now, now)).toBe(1);
  });
});

describe('a lane', () => {
  const now = new Date('2026-03-01T08:00:00Z');
  const later = new Date(now.getTime() + 1);
  const windowEndsAt = new Date(now.getTime() + 60_000);
  const standing = (failures: number, charges: number, lockedUntil: Date | null = null) =>
    standingOf({ failures, charges, lockedUntil, windowEndsAt }, 5, now);

  test.each([
    [0, 0],
    [4, 0],
    [0, 4],
    [2, 2],
  ])('with %i failures and %i charges has an attempt left', (failures, charges) => {
    expect(standing(failures, charges)).toEqual({ kind: 'open' });
  });

  test.each([
    [0, 5],
    [4, 1],
    [3, 9],
  ])('with %i failures and %i charges is busy, not locked', (failures, charges) => {
    expect(standing(failures, charges)).toEqual({ kind: 'busy' });
  });

  test('is locked until its lock ends, and not at that instant any more', () => {
    expect(standing(5, 0, later)).toEqual({ kind: 'locked', until: later });
    expect(standing(0, 0, later)).toEqual({ kind: 'locked', until: later });
    expect(standing(0, 0, now)).toEqual({ kind: 'open' });
  });

  test('that failed more often than is allowed by now is locked as long as that counts', () => {
    expect(standing(5, 0)).toEqual({ kind: 'locked', until: windowEndsAt });
    expect(standing(9, 0)).toEqual({ kind: 'locked', until: windowEndsAt });
  });
});

describe('device tokens', () => {
  const deviceId = '01900000-0000-7000-8000-00000000abcd';
  test('are read for the account they were minted for, and nothing else is', () => {
    const deviceToken = mintDeviceToken(key, 'me', deviceId);
    expect(readDeviceToken(key, 'me', deviceToken)).toBe(deviceId);
    expect(readDeviceToken(key, 'you', deviceToken)).toBeUndefined();
    expect(readDeviceToken(createSecretKey(Buffer.alloc(32, 2)), 'me', deviceToken)).toBeUndefined();
    for (const forged of ['', 'dt1', 'dt1..', deviceToken.slice(1), `${deviceToken} `]) {
      expect(readDeviceToken(key, 'me', forged)).toBeUndefined();
    }
  });
});
