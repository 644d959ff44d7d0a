import { createHash, createHmac, createSecretKey, randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { RefreshToken } from './refresh-token.js';
import { isMintedBy, mintRefreshToken, parseRefreshToken, retryKeyOf } from './refresh-token.js';

const newKey = () => createSecretKey(randomBytes(32));
const key = newKey();
const sessionId = '01900000-0000-7000-8000-00000000abcd';
const accountId = '01900000-0000-7000-8000-00000000dcba';
const mint = (generation: number, sessionKey = key) =>
  mintRefreshToken(sessionKey, { sessionId, accountId, generation });

describe('refresh token', () => {
  test('what was minted is parsed back and recognised, for any session and generation', () => {
    fc.assert(
      fc.property(fc.uuid(), fc.uuid(), fc.integer({ min: 0, max: 2 ** 31 - 1 }), (session, account, generation) => {
        const subject = { sessionId: session, accountId: account, generation };
        const parsed = parseRefreshToken(mintRefreshToken(key, subject));
        expect(parsed).toMatchObject(subject);
        expect(parsed !== undefined && isMintedBy(key, parsed)).toBe(true);
        expect(parsed !== undefined && isMintedBy(newKey(), parsed)).toBe(false);
      }),
    );
  });

  test('the same generation gives the same token, another one does not', () => {
    expect(mint(7)).toBe(mint(7));
    expect(mint(7)).not.toBe(mint(8));
  });

  test('a token with any one character changed, added or removed is not well-formed', () => {
    const token = mint(3);
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.constantFrom(...'Aa0-_=+/ \n'), (at, character) => {
        const changed = token.slice(0, at) + character + token.slice(at + 1);
        if (changed !== token) expect(parseRefreshToken(changed)).toBeUndefined();
        expect(parseRefreshToken(token.slice(0, at) + token.slice(at + 1))).toBeUndefined();
        expect(parseRefreshToken(token.slice(0, at) + character + token.slice(at))).toBeUndefined();
      }),
    );
  });

  // Clients hold tokens of the version before: another form would sign everybody out at an upgrade.
  test('has the form that is documented, byte for byte', () => {
    const body = Buffer.from(`${sessionId}${accountId}00000003`.replaceAll('-', ''), 'hex');
    const payload = Buffer.concat([body, createHmac('sha256', key).update('rt1').update(body).digest()]);
    const checksum = createHash('sha256').update(payload).digest().subarray(0, 4);
    const token = `rt1_${Buffer.concat([payload, checksum]).toString('base64url')}`;
    expect(mint(3)).toBe(token);
    const parsed = parseRefreshToken(token) as RefreshToken;
    expect(retryKeyOf(parsed, 'abcdefgh')).toEqual(createHmac('sha256', parsed.mac).update('retry\nabcdefgh').digest());
    // The control: the same bytes under another name are none.
    expect(parseRefreshToken(token)).toBeDefined();
    expect(parseRefreshToken(`rt2_${token.slice(4)}`)).toBeUndefined();
    expect(parseRefreshToken(token.slice(4))).toBeUndefined();
  });

  test('noise is refused without an exception', () => {
    fc.assert(fc.property(fc.string(), (text) => expect(parseRefreshToken(text)).toBeUndefined()));
    fc.assert(fc.property(fc.string(), (text) => expect(parseRefreshToken(`rt1_${text}`)).toBeUndefined()));
  });

  test('a retry key is one request: the same token with the same Idempotency-Key', () => {
    const of = (generation: number, idempotencyKey: string, sessionKey = key) => {
      const token = parseRefreshToken(mint(generation, sessionKey));
      if (token === undefined) throw new Error('not a token');
      return retryKeyOf(token, idempotencyKey).toString('hex');
    };
    expect(of(3, 'abcdefgh')).toBe(of(3, 'abcdefgh'));
    const others = [of(3, 'abcdefgi'), of(4, 'abcdefgh'), of(3, 'abcdefgh', newKey())];
    expect(new Set([of(3, 'abcdefgh'), ...others]).size).toBe(4);
  });
});
