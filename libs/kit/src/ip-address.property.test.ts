import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readIpAddress } from './ip-address.js';

const network = (text: string) => readIpAddress(text).network;
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
  return found.flatMap((text) => [text, text.toUpperCase()]);
}

describe('the network of an address', () => {
  test('is the same for all hosts of one /64, however the address is spelled', () => {
    const sparse = fc.array(fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.nat(0xffff)), {
      minLength: 8,
      maxLength: 8,
    });
    fc.assert(
      fc.property(fc.oneof(groups, sparse), (numbers) => {
        // An IPv4 address in the dress of IPv6 counts as such.
        fc.pre(numbers[5] !== 0xffff || numbers.slice(0, 5).some((group) => group !== 0));
        const expected = `${write(numbers.slice(0, 4))}::/64`;
        for (const text of spellings(numbers)) expect(network(text)).toBe(expected);
      }),
    );
  });

  test('is another one for another /64', () => {
    fc.assert(
      fc.property(groups, groups, (a, b) => {
        const isSame = write(a.slice(0, 4)) === write(b.slice(0, 4));
        expect(network(write(a)) === network(write(b))).toBe(isSame);
      }),
    );
  });

  test('of IPv4 is the address itself, also when it comes wrapped in IPv6', () => {
    fc.assert(
      fc.property(fc.ipV4(), (ip) => {
        expect(network(ip)).toBe(ip);
        expect(network(`::ffff:${ip}`)).toBe(ip);
        expect(network(`::FFFF:${ip}`)).toBe(ip);
        const [a = 0, b = 0, c = 0, d = 0] = ip.split('.').map(Number);
        for (const text of spellings([0, 0, 0, 0, 0, 0xffff, a * 256 + b, c * 256 + d]))
          expect(readIpAddress(text)).toEqual({ ip, network: ip });
      }),
    );
  });

  test('is something for any text, since the address may come from a proxy that is wrong', () => {
    fc.assert(fc.property(fc.string(), (text) => expect(typeof network(text)).toBe('string')));
    expect(network('1::ffff:192.0.2.1')).toBe('1:0:0:0::/64');
    expect(network('::ffff:192.0.2.1:1')).not.toBe('192.0.2.1');
  });
});
