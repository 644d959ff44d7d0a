import { createHmac, createSecretKey } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { deviceLane, identifierOf, networkOf, reauthLane, secondsUntil, sourceLane, strangerLane } from './lockout.js';

const key = createSecretKey(Buffer.alloc(32, 7));
const groups = fc.array(fc.nat(0xffff), { minLength: 8, maxLength: 8 });
const write = (numbers: readonly number[]) => numbers.map((group) => group.toString(16)).join(':');

/** Every way to write an address with one run of zeros left out, in both cases and with leading zeros. */
function spellings(numbers: readonly number[]): string[] {
  const texts = numbers.map((group) => group.toString(16));
  const found = [texts.join(':'), texts.map((text) => text.padStart(4, '0')).join(':')];
  for (let from = 0; from < 8; from++) {
    for (let to = from + 1; to <= 8; to++) {
      if (numbers.slice(from, to).some((group) => group !== 0)) break;
      found.push(`${texts.slice(0, from).join(':')}::${texts.slice(to).join(':')}`);
    }
  }
  return found.flatMap((text) => [text, text.toUpperCase(), `${text}%eth0`]);
}

describe('the network of an address', () => {
  test('is the same for all hosts of one /64, however the address is spelled', () => {
    const sparse = fc.array(fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.nat(0xffff)), {
      minLength: 8,
      maxLength: 8,
    });
    fc.assert(
      fc.property(fc.oneof(groups, sparse), (numbers) => {
        const expected = `${write(numbers.slice(0, 4))}::/64`;
        for (const text of spellings(numbers)) expect(networkOf(text)).toBe(expected);
      }),
    );
  });

  test('is another one for another /64', () => {
    fc.assert(
      fc.property(groups, groups, (a, b) => {
        const isSame = write(a.slice(0, 4)) === write(b.slice(0, 4));
        expect(networkOf(write(a)) === networkOf(write(b))).toBe(isSame);
      }),
    );
  });

  test('of IPv4 is the address itself, also when it comes wrapped in IPv6', () => {
    fc.assert(
      fc.property(fc.ipV4(), (ip) => {
        expect(networkOf(ip)).toBe(ip);
        expect(networkOf(`::ffff:${ip}`)).toBe(ip);
        expect(networkOf(`::FFFF:${ip}`)).toBe(ip);
      }),
    );
  });

  test('is something for any text, since the address may come from a proxy that is wrong', () => {
    fc.assert(fc.property(fc.string(), (text) => expect(typeof networkOf(text)).toBe('string')));
    expect(networkOf('1::ffff:192.0.2.1')).toBe('1:0:0:0::/64');
    expect(networkOf('::ffff:192.0.2.1:1')).not.toBe('192.0.2.1');
  });
});

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
