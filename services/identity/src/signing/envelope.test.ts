import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createEnvelope } from './envelope.js';

const envelope = createEnvelope(randomBytes(32));
const secret = Buffer.from('a key');

describe('envelope', () => {
  test('what was sealed is opened for the same context only', () => {
    const sealed = envelope.seal(secret, 'session:1');
    expect(envelope.open(sealed, 'session:1')).toEqual(secret);
    expect(() => envelope.open(sealed, 'session:2')).toThrow();
  });

  test('another key-encryption key is named as the reason', () => {
    const sealed = envelope.seal(secret, 'x');
    expect(() => createEnvelope(randomBytes(32)).open(sealed, 'x')).toThrow('another key-encryption key');
  });

  test('any changed byte and any missing end is refused', () => {
    const sealed = envelope.seal(secret, 'x');
    fc.assert(
      fc.property(fc.nat(sealed.length - 1), fc.integer({ min: 1, max: 255 }), (index, flip) => {
        const changed = Buffer.from(sealed);
        changed[index] = (changed[index] ?? 0) ^ flip;
        expect(() => envelope.open(changed, 'x')).toThrow();
        expect(() => envelope.open(sealed.subarray(0, index), 'x')).toThrow();
      }),
    );
  });

  test('sealing twice gives different bytes, deriving twice the same, for another purpose another', () => {
    expect(envelope.seal(secret, 'x')).not.toEqual(envelope.seal(secret, 'x'));
    expect(envelope.derive('a').equals(envelope.derive('a'))).toBe(true);
    expect(envelope.derive('a').equals(envelope.derive('b'))).toBe(false);
  });

  test('a previous key opens what it has sealed, and seals nothing', () => {
    const [old, fresh] = [randomBytes(32), randomBytes(32)];
    const before = createEnvelope(old).seal(secret, 'x');
    const both = createEnvelope(fresh, [old]);
    expect(both.open(before, 'x')).toEqual(secret);
    const after = both.seal(secret, 'x');
    expect(createEnvelope(fresh).open(after, 'x')).toEqual(secret);
    expect(() => createEnvelope(old).open(after, 'x')).toThrow('another key-encryption key');
    expect(after.subarray(0, both.prefix.length)).toEqual(both.prefix);
    expect(before.subarray(0, both.prefix.length)).not.toEqual(both.prefix);
  });
});
