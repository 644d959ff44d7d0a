import { describe, expect, test } from '@jest/globals';
import { IdempotencyKey } from '@prime-nest/contracts/identity';
import fc from 'fast-check';
import { clientAddress } from './client-address.js';
import { versionOf } from './entity-tag.js';
import { judgeOrigin } from './origins.js';
import { PageQuery } from './query.js';

const noise = fc.string({ unit: 'binary' });
const header = fc.string({ unit: fc.constantFrom(...'"\'0123456789Ww/,* -_abc;=') });

describe('If-Match', () => {
  test('is one strong tag of a version, or nothing', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 999_999_999 }), (n) => expect(versionOf(`"${String(n)}"`)).toBe(n)),
    );
    fc.assert(
      fc.property(fc.oneof(header, noise), (text) => {
        const version = versionOf(text);
        if (version !== undefined) expect(text).toBe(`"${String(version)}"`);
      }),
      { numRuns: 500 },
    );
    for (const tag of ['"0"', '"01"', '"1", "1"', 'W/"1"', '*']) expect(versionOf(tag)).toBeUndefined();
  });
});

describe('Idempotency-Key', () => {
  test('is visible ASCII of 8 to 128 characters, or refused', () => {
    fc.assert(
      fc.property(fc.oneof(noise, fc.string({ minLength: 6, maxLength: 132 })), (text) => {
        expect(IdempotencyKey.safeParse(text).success).toBe(/^[!-~]{8,128}$/.test(text));
      }),
    );
  });
});

describe("a client's address", () => {
  const groups = fc.array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 });
  const write = (numbers: readonly number[]) => numbers.map((one) => one.toString(16)).join(':');

  test('counts by itself for IPv4, wrapped or not', () => {
    fc.assert(
      fc.property(fc.ipV4(), (ip) => {
        expect(clientAddress(ip)).toEqual({ ip, key: ip });
        expect(clientAddress(`::ffff:${ip}`)).toEqual({ ip, key: ip });
      }),
    );
  });

  test('counts by its /64 for IPv6, so that nobody gets more by choosing another host part', () => {
    fc.assert(
      fc.property(groups, fc.array(fc.nat(0xffff), { minLength: 4, maxLength: 4 }), (numbers, host) => {
        const moved = [...numbers.slice(0, 4), ...host];
        const isMapped = numbers.slice(0, 5).every((one) => one === 0);
        if (isMapped) return;
        expect(clientAddress(write(moved)).key).toBe(clientAddress(write(numbers)).key);
        expect(clientAddress(write(numbers)).key).toBe(`${write(numbers.slice(0, 4))}::/64`);
      }),
    );
  });

  test('is the same however it is shortened', () => {
    fc.assert(
      fc.property(fc.ipV6(), (ip) => {
        const { key } = clientAddress(ip);
        expect(key === 'unknown' || /^([0-9a-f]{1,4}:){4}:\/64$|^\d+\.\d+\.\d+\.\d+$/.test(key)).toBe(true);
        expect(clientAddress(ip.toUpperCase()).key).toBe(key);
        expect(clientAddress(`${ip}%eth0`).key).toBe(key);
      }),
    );
    expect(clientAddress('fe80::1%br_lan:1')).toEqual({ ip: 'fe80::1', key: 'fe80:0:0:0::/64' });
  });

  test('that is none has one common counter and is not recorded', () => {
    fc.assert(
      fc.property(noise, (text) => {
        const address = clientAddress(text);
        if (address.ip === undefined) expect(address).toEqual({ key: 'unknown' });
        else expect(address.ip).toMatch(/^[0-9A-Fa-f.:]+$/);
      }),
    );
    expect(clientAddress(undefined)).toEqual({ key: 'unknown' });
  });
});

describe('an Origin', () => {
  const allowed = new Set(['https://app.example.com', 'http://localhost:5173']);
  const near = fc
    .constantFrom(...allowed)
    .chain((origin) =>
      fc
        .tuple(fc.nat(origin.length), fc.constantFrom('.', '/', 'x', ':', '@', ' ', 'https://'))
        .map(([at, extra]) => origin.slice(0, at) + extra + origin.slice(at)),
    );

  test('is allowed only when it is exactly one of the list', () => {
    fc.assert(
      fc.property(fc.oneof(near, fc.webUrl(), noise), (origin) => {
        const verdict = judgeOrigin(origin, 'api.example.com', allowed);
        expect(verdict.kind === 'allowed').toBe(allowed.has(origin));
      }),
      { numRuns: 500 },
    );
  });
});

describe('a page in a query string', () => {
  test('is whole numbers within their bounds, or refused', () => {
    const digits = fc.oneof(fc.integer().map(String), header, fc.constantFrom('1e2', '0x10', ' 5', '5 ', '+5', '٥'));
    fc.assert(
      fc.property(digits, digits, (limit, offset) => {
        const parsed = PageQuery.safeParse({ limit, offset });
        const isPlain = (text: string, min: number, max: number) =>
          /^\d{1,7}$/.test(text) && Number(text) >= min && Number(text) <= max;
        expect(parsed.success).toBe(isPlain(limit, 1, 100) && isPlain(offset, 0, 100_000));
        if (parsed.success) expect(parsed.data).toEqual({ limit: Number(limit), offset: Number(offset) });
      }),
      { numRuns: 500 },
    );
  });
});
