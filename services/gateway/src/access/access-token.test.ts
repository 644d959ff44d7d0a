import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import {
  audience,
  encode,
  goodClaims,
  goodHeader,
  issuer,
  newSigningKey,
  signText,
  signToken,
} from '../../test/tokens.js';
import type { SigningKey } from '../../test/tokens.js';
import { verifyAccessToken } from './access-token.js';
import { KeySet } from './key-set.js';

const now = new Date('2026-03-01T12:00:00.000Z');
const seconds = now.getTime() / 1000;
const policy = { issuer, audience, skewSeconds: 30, lifetimeSecondsMax: 86_400 };

let key: SigningKey;
let keys: KeySet;
let claims: ReturnType<typeof goodClaims>;

beforeAll(() => {
  key = newSigningKey();
  keys = new KeySet();
  keys.replace([key.jwk]);
  claims = goodClaims(now);
});

const verdict = (token: string, at = now) => verifyAccessToken(token, keys, at, policy);
const refusal = (token: string, at = now) => {
  const result = verdict(token, at);
  return 'claims' in result ? 'accepted' : result.reason;
};
const good = () => signToken(key, claims);
/** The control of every refusal: the same construction with nothing wrong in it is accepted. */
const withPayload = (payload: string | Buffer) => signText(key, JSON.stringify(goodHeader(key)), payload);
const withHeader = (header: string) => signText(key, header, JSON.stringify(claims));

test('a token as identity issues it is accepted with exactly its claims', () => {
  expect(verdict(good())).toEqual({ claims });
  expect(refusal(withPayload(JSON.stringify(claims)))).toBe('accepted');
  expect(refusal(withHeader(JSON.stringify(goodHeader(key))))).toBe('accepted');
});

describe('the header chooses nothing', () => {
  test.each([
    ['alg none', { alg: 'none' }],
    ['alg None', { alg: 'None' }],
    ['alg nOnE', { alg: 'nOnE' }],
    ['alg empty', { alg: '' }],
    ['alg HS256', { alg: 'HS256' }],
    ['alg PS256', { alg: 'PS256' }],
    ['alg RS512', { alg: 'RS512' }],
    ['alg rs256', { alg: 'rs256' }],
    ['alg as array', { alg: ['RS256'] }],
    ['alg absent', { alg: undefined }],
    ['typ JWT', { typ: 'JWT' }],
    ['typ application/at+jwt', { typ: 'application/at+jwt' }],
    ['typ AT+JWT', { typ: 'AT+JWT' }],
    ['typ absent', { typ: undefined }],
    ['kid absent', { kid: undefined }],
    ['kid as number', { kid: 1 }],
    ['jku', { jku: 'http://127.0.0.1:1/keys' }],
    ['x5u', { x5u: 'http://127.0.0.1:1/cert' }],
    ['jwk', { jwk: { kty: 'oct', k: 'AA' } }],
    ['x5c', { x5c: ['AA'] }],
    ['crit', { crit: ['exp'] }],
    ['b64 false', { b64: false, crit: ['b64'] }],
    ['zip', { zip: 'DEF' }],
    ['cty', { cty: 'JWT' }],
  ])('%s is refused although the signature is good', (_name, over) => {
    expect(refusal(signToken(key, claims, { ...goodHeader(key), ...over }))).toBe('header');
  });

  test.each(['../../../../dev/null', "' or 1=1 --", 'http://127.0.0.1:1/', '__proto__', 'constructor', ''])(
    'the kid %j names no key',
    (kid) => {
      expect(refusal(signToken(key, claims, { ...goodHeader(key), kid }))).toBe('unknown_key');
    },
  );

  test('an unsigned token is refused with every spelling of its empty signature', () => {
    const input = `${encode(JSON.stringify({ alg: 'none', typ: 'at+jwt', kid: key.jwk.kid }))}.${encode(JSON.stringify(claims))}`;
    for (const mac of ['', '=', 'AA', '.']) expect(refusal(`${input}.${mac}`)).not.toBe('accepted');
  });

  test('HS256 with the public key as its secret is refused, and so is an RS256 header over such a MAC', () => {
    for (const alg of ['HS256', 'RS256']) {
      const input = `${encode(JSON.stringify({ ...goodHeader(key), alg }))}.${encode(JSON.stringify(claims))}`;
      const mac = createHmac('sha256', key.publicKeyPem).update(input).digest('base64url');
      expect(['header', 'signature']).toContain(refusal(`${input}.${mac}`));
    }
  });

  test('a good signature of another key, under our kid, is refused', () => {
    const other = newSigningKey();
    const header = JSON.stringify(goodHeader(key));
    expect(refusal(signText(other, header, JSON.stringify(claims)))).toBe('signature');
  });

  test('PSS, SHA-1 and SHA-512 signatures of our own key are refused', () => {
    const input = Buffer.from(`${encode(JSON.stringify(goodHeader(key)))}.${encode(JSON.stringify(claims))}`);
    const signatures = [
      sign('RSA-SHA1', input, key.privateKey),
      sign('RSA-SHA512', input, key.privateKey),
      sign('RSA-SHA256', input, { key: key.privateKey, padding: 6, saltLength: 32 }),
    ];
    for (const mac of signatures) expect(refusal(`${input.toString()}.${mac.toString('base64url')}`)).toBe('signature');
  });
});

describe('one token has one spelling', () => {
  const spareBits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

  test('spare bits, padding, white space, other alphabets and more dots are refused', () => {
    const token = good();
    const [head = '', body = '', mac = ''] = token.split('.');
    const spellings = [
      `${token}=`,
      `${token}==`,
      ` ${token}`,
      `${token} `,
      `${token}\n`,
      `${token}.`,
      `.${token}`,
      `${head}..${mac}`,
      `${head}.${body}.${mac}.${mac}`,
      `${head}=.${body}.${mac}`,
      `${head}.${body}=.${mac}`,
      `${head}.${body}.${Buffer.from(mac, 'base64url').toString('base64')}`,
      `${head}.${body}.${mac}%3D`,
      token.replace('.', ','),
    ];
    for (const spelling of spellings) expect([spelling === token, refusal(spelling)]).not.toEqual([false, 'accepted']);
    expect(refusal(token)).toBe('accepted');
  });

  test('of all last characters of a signature exactly one is accepted', () => {
    const token = good();
    const accepted = [...spareBits].filter((last) => refusal(token.slice(0, -1) + last) === 'accepted');
    expect(accepted).toEqual([token.slice(-1)]);
  });

  test('a token with any one character changed is refused, wherever it is', () => {
    const token = good();
    for (let i = 0; i < token.length; i++) {
      const changed = token.slice(0, i) + (token[i] === 'A' ? 'B' : 'A') + token.slice(i + 1);
      expect([i, refusal(changed)]).not.toEqual([i, 'accepted']);
    }
  });

  test.each([8 * 1024 + 1, 64 * 1024, 1024 * 1024])('a token of %i bytes is refused before it is read', (length) => {
    expect(refusal('a'.repeat(length))).toBe('too_long');
  });

  test.each(['', '.', '..', 'a.b', 'a.b.c.d', 'null', 'undefined', 'e30.e30.e30', '\0.\0.\0'])(
    '%j is refused',
    (text) => {
      expect(refusal(text)).not.toBe('accepted');
    },
  );
});

describe('claims', () => {
  const id = '0193b2a8-5c1e-7c3a-9d64-2f8a1b7c9e01';
  const odd: [string, unknown][] = [
    ['absent', undefined],
    ['null', null],
    ['empty', ''],
    ['an array', ['x']],
    ['a nested array', [['x']]],
    ['an object', { a: 1 }],
    ['true', true],
    ['10 KB', 'x'.repeat(3_000)],
    ['NUL', 'a\0b'],
  ];
  const texts = ['iss', 'aud', 'sub', 'sid', 'jti'];
  const numbers = ['iat', 'exp', 'ver'];
  const cases = [
    ...texts.flatMap((name) => [...odd, ['a number', 0] as const].map(([what, value]) => [name, what, value] as const)),
    ...numbers.flatMap((name) =>
      [...odd, ['a text', '1900000000'] as const, ['a fraction', 1.5] as const, ['negative', -1] as const].map(
        ([what, value]) => [name, what, value] as const,
      ),
    ),
  ];

  test.each(cases)('%s that is %s is refused', (name, _what, value) => {
    expect(['claims', 'too_long']).toContain(refusal(signToken(key, { ...claims, [name]: value })));
  });

  test.each([
    ['exp 1e999', (text: string) => text.replace(/"exp":\d+/, '"exp":1e999')],
    ['exp beyond every date', (text: string) => text.replace(/"exp":\d+/, '"exp":99999999999999')],
    ['iat -1e999', (text: string) => text.replace(/"iat":\d+/, '"iat":-1e999')],
    ['exp twice', (text: string) => text.replace('{', '{"exp":1,')],
    ['sub twice, once escaped', (text: string) => text.replace('{', `{"s\\u0075b":"${id}",`)],
    ['__proto__', (text: string) => text.replace('{', '{"__proto__":{"ver":9},')],
    ['an unknown claim', (text: string) => text.replace('{', '{"roles":["admin"],')],
    ['nbf', (text: string) => text.replace('{', '{"nbf":1,')],
    ['a byte order mark', (text: string) => `\ufeff${text}`],
    ['trailing text', (text: string) => `${text}x`],
    ['two documents', (text: string) => `${text}${text}`],
    ['an array around it', (text: string) => `[${text}]`],
    ['a text around it', (text: string) => JSON.stringify(text)],
    ['a number', () => '7'],
    ['depth 100', () => `{"iss":${'['.repeat(100)}${']'.repeat(100)}}`],
  ])('a payload with %s is refused', (_name, change) => {
    expect(refusal(withPayload(change(JSON.stringify(claims))))).toBe('claims');
  });

  test('a payload that is not UTF-8 is refused', () => {
    expect(refusal(withPayload(Buffer.from([0x7b, 0xff, 0x7d])))).toBe('claims');
  });

  test.each([
    ['iss', 'https://issuer.test/', 'issuer'],
    ['iss', 'https://ISSUER.test', 'issuer'],
    ['aud', 'test-api ', 'audience'],
    ['aud', 'another-api', 'audience'],
  ])('%s %j is refused: it is compared as it stands', (name, value, reason) => {
    expect(refusal(signToken(key, { ...claims, [name]: value }))).toBe(reason);
  });
});

describe('time', () => {
  const at = (offset: number) => new Date((seconds + offset) * 1000);

  test('a token ends at exp, to the second, without leeway', () => {
    const token = signToken(key, { ...claims, iat: seconds, exp: seconds + 60 });
    expect(refusal(token, at(59.999))).toBe('accepted');
    expect(verdict(token, at(60))).toEqual({ code: 'token_expired', reason: 'expired' });
    expect(refusal(token, at(61))).toBe('expired');
  });

  test('a token from the future is accepted up to the skew and not a second more', () => {
    for (const [offset, expected] of [
      [29, 'accepted'],
      [30, 'accepted'],
      [31, 'issued_in_future'],
    ] as const) {
      expect(refusal(signToken(key, { ...claims, iat: seconds + offset, exp: seconds + 900 }))).toBe(expected);
    }
  });

  test('a token that lives longer than the policy allows, or not at all, is refused', () => {
    expect(refusal(signToken(key, { ...claims, exp: seconds + 86_400 }))).toBe('accepted');
    expect(refusal(signToken(key, { ...claims, exp: seconds + 86_401 }))).toBe('lifetime');
    expect(refusal(signToken(key, { ...claims, exp: claims.iat }))).toBe('lifetime');
  });
});

describe('keys', () => {
  test('a key that is too short or has a small exponent is left out', () => {
    const weak = (options: { modulusLength: number; publicExponent?: number }) => {
      const { publicKey } = generateKeyPairSync('rsa', options);
      const { n = '', e = '' } = publicKey.export({ format: 'jwk' });
      return { kty: 'RSA' as const, kid: 'weak-key-of-the-test', use: 'sig' as const, alg: 'RS256' as const, n, e };
    };
    const set = new KeySet();
    expect(set.replace([weak({ modulusLength: 1024 }), weak({ modulusLength: 2048, publicExponent: 3 })])).toBe(2);
    expect(set.isLoaded).toBe(false);
    expect(set.replace([key.jwk])).toBe(0);
    expect(set.isLoaded).toBe(true);
  });

  test('a set without a single good key changes nothing', () => {
    const set = new KeySet();
    set.replace([key.jwk]);
    set.replace([{ ...key.jwk, n: 'AQAB' }]);
    expect(set.get(key.jwk.kid)).toBeDefined();
  });

  test('a key that left the set verifies nothing any more', () => {
    const set = new KeySet();
    const next = newSigningKey();
    set.replace([key.jwk]);
    set.replace([next.jwk]);
    expect(verifyAccessToken(good(), set, now, policy)).toEqual({ code: 'token_invalid', reason: 'unknown_key' });
    expect(verifyAccessToken(signToken(next, claims), set, now, policy)).toEqual({ claims });
  });
});
