import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import type { PublicKey } from '@prime-nest/contracts/claims';
import { newSigningKey } from '../../test/tokens.js';
import { KeySet } from './key-set.js';

const [first, second] = [newSigningKey().jwk, newSigningKey().jwk];

function rsaKey(modulusLength: number, publicExponent: number): PublicKey {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength, publicExponent });
  const { n = '', e = '' } = createPublicKey(publicKey.export({ format: 'pem', type: 'spki' })).export({
    format: 'jwk',
  });
  return { kty: 'RSA', kid: `weak-${String(modulusLength)}-${String(publicExponent)}`, use: 'sig', alg: 'RS256', n, e };
}

describe('the key set', () => {
  test('is empty until it is given keys, and publishes exactly those that it verifies with', () => {
    const keys = new KeySet();
    expect([keys.isLoaded, keys.published(), keys.generation]).toEqual([false, [], 0]);
    expect(keys.replace([first, second])).toBe(0);
    expect([keys.isLoaded, keys.published()]).toEqual([true, [first, second]]);
    expect(keys.get(first.kid)?.asymmetricKeyType).toBe('rsa');
    expect(keys.get('other')).toBeUndefined();
  });

  test('leaves out a key that is too short, has a small exponent or is no key, and says how many', () => {
    const keys = new KeySet();
    const broken: PublicKey = { ...first, kid: 'broken-broken-broken', n: '' };
    const weak = [rsaKey(1024, 65_537), rsaKey(2048, 3), broken];
    expect(keys.replace([...weak, first])).toBe(3);
    expect(keys.published()).toEqual([first]);
    for (const { kid } of weak) expect(keys.get(kid)).toBeUndefined();
    // The control: the same size and exponent are accepted at the bound.
    const bound = rsaKey(2048, 65_537);
    expect(keys.replace([bound])).toBe(0);
    expect(keys.get(bound.kid)).toBeDefined();
  });

  test('keeps what it had when nothing acceptable comes', () => {
    const keys = new KeySet();
    keys.replace([first]);
    expect(keys.replace([])).toBe(0);
    expect(keys.replace([rsaKey(1024, 65_537)])).toBe(1);
    expect(keys.published()).toEqual([first]);
    expect(keys.generation).toBe(1);
  });

  test('counts a generation for each change, and none for the same keys again', () => {
    const keys = new KeySet();
    keys.replace([first]);
    keys.replace([first]);
    expect(keys.generation).toBe(1);
    keys.replace([first, second]);
    expect(keys.generation).toBe(2);
    keys.replace([second]);
    expect(keys.generation).toBe(3);
    expect(keys.get(first.kid)).toBeUndefined();
  });
});
