import { beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { audience, goodClaims, goodHeader, issuer, newSigningKey, signText, signToken } from '../../test/tokens.js';
import type { SigningKey } from '../../test/tokens.js';
import { verifyAccessToken } from './access-token.js';
import { KeySet } from './key-set.js';
import { ambiguous, bearerToken } from './principal.js';

const now = new Date('2026-03-01T12:00:00.000Z');
const policy = { issuer, audience, skewSeconds: 30, lifetimeSecondsMax: 86_400 };
let key: SigningKey;
let keys: KeySet;
let token: string;
beforeAll(() => {
  key = newSigningKey();
  keys = new KeySet();
  keys.replace([key.jwk]);
  token = signToken(key, goodClaims(now));
});
const isAccepted = (text: string, at = now) => 'claims' in verifyAccessToken(text, keys, at, policy);

describe('an access token', () => {
  test('is refused with the reason that fits, for our log', () => {
    const reason = (text: string) => {
      const verdict = verifyAccessToken(text, keys, now, policy);
      return 'reason' in verdict ? [verdict.code, verdict.reason] : ['accepted'];
    };
    const [head = '', body = '', mac = ''] = token.split('.');
    const invalid = (why: string) => ['token_invalid', why];
    expect(reason(token)).toEqual(['accepted']);
    for (const parts of [[], [head], [head, body], [head, body, mac, mac]]) {
      expect(reason(parts.join('.'))).toEqual(invalid('not_compact'));
    }
    for (const parts of [
      ['', body, mac],
      [head, '', mac],
      [head, body, ''],
      [`${head}!`, body, mac],
      [head, ` ${body}`, mac],
    ]) {
      expect(reason(parts.join('.'))).toEqual(invalid('not_canonical'));
    }
    expect(reason([head, body, Buffer.from('x').toString('base64url')].join('.'))).toEqual(invalid('signature'));
    for (const header of ['', 'null', '"x"', '[]', '7', '{}', '{"a":1,"a":1}']) {
      const encoded = Buffer.from(header === '' ? 'x' : header).toString('base64url');
      expect(reason([encoded, body, mac].join('.'))).toEqual(invalid('header'));
    }
    const signed = (payload: string) => signText(key, JSON.stringify(goodHeader(key)), payload);
    for (const payload of ['', 'x', 'null', '[]', '{}', '{"a":1,"a":1}']) {
      expect(reason(signed(payload))).toEqual(invalid(payload === '' ? 'not_canonical' : 'claims'));
    }
    // The bound is 8 KB, and one byte more is too long whatever it says.
    expect(reason('a'.repeat(8 * 1024))).toEqual(invalid('not_compact'));
    expect(reason('a'.repeat(8 * 1024 + 1))).toEqual(invalid('too_long'));
  });

  test('has one spelling: with any character changed, added or taken away it is refused', () => {
    const characters = fc.constantFrom(...'AQgw059-_+/=. \n\u0000é');
    expect(isAccepted(token)).toBe(true);
    fc.assert(
      fc.property(fc.double({ min: 0, max: 0.999, noNaN: true }), characters, (place, character) => {
        const at = Math.floor(place * token.length);
        const changed = token.slice(0, at) + character + token.slice(at + 1);
        if (changed !== token) expect(isAccepted(changed)).toBe(false);
        expect(isAccepted(token.slice(0, at) + character + token.slice(at))).toBe(false);
        expect(isAccepted(token.slice(0, at) + token.slice(at + 1))).toBe(false);
      }),
      { numRuns: 300 },
    );
  });

  test('never makes the verifier throw, whatever it is, signed by us or not', () => {
    const noise = fc.string({ unit: 'binary' });
    fc.assert(fc.property(noise, (text) => expect(isAccepted(text)).toBe(false)));
    fc.assert(fc.property(noise, noise, noise, (a, b, c) => expect(isAccepted(`${a}.${b}.${c}`)).toBe(false)));
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (header, claims) => {
        expect(isAccepted(signText(key, JSON.stringify(header), JSON.stringify(claims)))).toBe(false);
      }),
      { numRuns: 30 },
    );
  });

  test('signed by us is accepted only with each claim of its own type, and within its time to the second', () => {
    const claim = fc.constantFrom('iss', 'aud', 'sub', 'sid', 'jti', 'iat', 'exp', 'ver', 'extra');
    const value = fc.oneof(fc.jsonValue({ maxDepth: 1 }), fc.constantFrom(1e21, -1, 0.5, '1', [issuer], null));
    fc.assert(
      fc.property(claim, value, (name, changed) => {
        const claims = goodClaims(now);
        if (claims[name] === changed) return;
        const verdict = verifyAccessToken(signToken(key, { ...claims, [name]: changed }), keys, now, policy);
        if (!('claims' in verdict)) return;
        // What remains are other values of the same kind: a time that still fits, or another epoch.
        expect(['iat', 'exp', 'ver']).toContain(name);
        expect(Number.isSafeInteger(changed)).toBe(true);
      }),
      { numRuns: 60 },
    );
    fc.assert(
      fc.property(fc.integer({ min: -100_000, max: 100_000 }), (seconds) => {
        const isInTime = seconds < 900 && seconds >= -policy.skewSeconds;
        expect(isAccepted(token, new Date(now.getTime() + seconds * 1000))).toBe(isInTime);
      }),
    );
  });

  test('with a header of anything else than our three members is refused although the signature holds', () => {
    fc.assert(
      fc.property(fc.string(), fc.jsonValue({ maxDepth: 1 }), (name, value) => {
        const header: Record<string, unknown> = goodHeader(key);
        if (header[name] === value || name === '__proto__') return;
        expect(isAccepted(signToken(key, goodClaims(now), { ...header, [name]: value }))).toBe(false);
      }),
      { numRuns: 40 },
    );
  });
});

describe('the Authorization header', () => {
  const names = fc.constantFrom('Host', 'authorization', 'AUTHORIZATION', 'Authorization', 'X-Authorization', 'Cookie');
  const values = fc.oneof(
    fc.string(),
    fc.constantFrom('Bearer a', 'Bearer  a', 'bearer a', 'Basic a', 'Bearer', 'Bearer ', 'Bearer a b', ''),
  );

  test('gives a token only when it stands there exactly once, in the one form', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(names, values), { maxLength: 5 }), (headers) => {
        const own = headers.filter(([name]) => name.toLowerCase() === 'authorization').map(([, value]) => value);
        const found = bearerToken(headers.flat());
        if (own.length === 0) return expect(found).toBeUndefined();
        const [only = ''] = own;
        const isGood = own.length === 1 && only.startsWith('Bearer ') && only.length > 7;
        expect(found).toBe(isGood ? only.slice(7) : ambiguous);
      }),
      { numRuns: 500 },
    );
  });
});
