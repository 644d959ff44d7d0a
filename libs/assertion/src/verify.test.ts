import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { parseAssertionKeys } from './key-set.js';
import { ReplayMemory } from './replay-memory.js';
import { verifyAssertion } from './verify.js';

const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const digest = (body: string) => createHash('sha256').update(body).digest('base64url');

function newKey() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const { x = '' } = publicKey.export({ format: 'jwk' });
  const kid = createHash('sha256')
    .update(JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x }))
    .digest('base64url');
  return { privateKey, jwk: { kty: 'OKP', crv: 'Ed25519', kid, use: 'sig', alg: 'EdDSA', x } };
}

const key = newKey();
const stranger = newKey();
const keys = parseAssertionKeys({ keys: [key.jwk] });
const now = new Date('2026-03-01T12:00:00.000Z');
const seconds = now.getTime() / 1000;
const body = '{"total":1}';
const request = { method: 'POST', target: '/v1/invoices?limit=1', body: Buffer.from(body) };
const account = '0193b2a8-7e30-7a5c-9f86-4bac3d9e1a23';

const goodHeader = { alg: 'EdDSA', typ: 'pn-assertion+jwt', kid: key.jwk.kid };
const goodClaims = (over: Record<string, unknown> = {}) => ({
  iss: 'prime-nest/gateway',
  aud: 'invoices',
  sub: account,
  sid: account,
  permission: 'invoices:create',
  jti: randomUUID(),
  iat: seconds,
  exp: seconds + 20,
  request: { method: 'POST', target: '/v1/invoices?limit=1', bodyDigest: digest(body) },
  ...over,
});
function token(claims: unknown = goodClaims(), header: unknown = goodHeader, by: KeyObject = key.privateKey): string {
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${sign(null, Buffer.from(input), by).toString('base64url')}`;
}
const judge = (compact: string | undefined, over: object = {}, received = request) =>
  verifyAssertion(compact, received, { keys, audience: 'invoices', now, replays: new ReplayMemory(), ...over });

describe('an assertion', () => {
  test('that the gateway made for this request names the principal and the permission', () => {
    expect(judge(token())).toEqual({
      principal: { id: account, sessionId: account, permission: 'invoices:create' },
    });
  });

  test('of a public route names nobody', () => {
    const nobody = goodClaims({ sub: undefined, sid: undefined, permission: undefined });
    expect(judge(token(nobody))).toEqual({ principal: {} });
  });

  const alter = (part: number, change: (text: string) => string) => {
    const parts = token().split('.');
    parts[part] = change(parts[part] ?? '');
    return parts.join('.');
  };
  const hmac = () => token(goodClaims(), { ...goodHeader, alg: 'HS256' });
  test.each([
    ['none at all', () => undefined, 'malformed'],
    ['an empty text', () => '', 'malformed'],
    ['two parts', () => token().split('.').slice(0, 2).join('.'), 'malformed'],
    ['four parts', () => `${token()}.x`, 'malformed'],
    ['padding', () => `${token()}=`, 'malformed'],
    ['white space', () => ` ${token()}`, 'malformed'],
    ['no signature', () => alter(2, () => ''), 'malformed'],
    ['100 KB', () => token(goodClaims({ permission: 'a'.repeat(100_000) })), 'malformed'],
    ['alg none', () => token(goodClaims(), { ...goodHeader, alg: 'none' }), 'header'],
    ['alg HS256', hmac, 'header'],
    ['the type of an access token', () => token(goodClaims(), { ...goodHeader, typ: 'at+jwt' }), 'header'],
    ['no type', () => token(goodClaims(), { alg: 'EdDSA', kid: key.jwk.kid }), 'header'],
    ['a key in the header', () => token(goodClaims(), { ...goodHeader, jwk: key.jwk }), 'header'],
    ['an address in the header', () => token(goodClaims(), { ...goodHeader, jku: 'https://x' }), 'header'],
    ['crit', () => token(goodClaims(), { ...goodHeader, crit: ['b64'], b64: false }), 'header'],
    [
      'kid twice',
      () => token(goodClaims(), JSON.stringify(goodHeader).replace('{', `{"kid":"${stranger.jwk.kid}",`)),
      'header',
    ],
    ['a kid of a path', () => token(goodClaims(), { ...goodHeader, kid: '../../key' }), 'header'],
    [
      'an unknown key',
      () => token(goodClaims(), { ...goodHeader, kid: stranger.jwk.kid }, stranger.privateKey),
      'unknown_key',
    ],
    ['the signature of another key', () => token(goodClaims(), goodHeader, stranger.privateKey), 'signature'],
    ['a changed claim', () => alter(1, () => encode(goodClaims({ sub: randomUUID() }))), 'signature'],
    ['an array of claims', () => token([goodClaims()]), 'claims'],
    ['a claim too many', () => token(goodClaims({ admin: true })), 'claims'],
    ['a member twice', () => token(JSON.stringify(goodClaims()).replace('{', '{"aud":"other",')), 'claims'],
    ['another issuer', () => token(goodClaims({ iss: 'prime-nest' })), 'claims'],
    ['no jti', () => token(goodClaims({ jti: undefined })), 'claims'],
    ['no request', () => token(goodClaims({ request: undefined })), 'claims'],
    ['an expiry as text', () => token(goodClaims({ exp: String(seconds + 20) })), 'claims'],
    ['another audience', () => token(goodClaims({ aud: 'payments' })), 'audience'],
    ['a life of a minute', () => token(goodClaims({ exp: seconds + 60 })), 'lifetime'],
    ['a life that ends before it begins', () => token(goodClaims({ exp: seconds - 1 })), 'lifetime'],
    ['a beginning in the future', () => token(goodClaims({ iat: seconds + 6, exp: seconds + 20 })), 'issued_in_future'],
    ['an end in the past', () => token(goodClaims({ iat: seconds - 20, exp: seconds })), 'expired'],
  ])('with %s is refused', (_name, make, code) => {
    expect(judge(make())).toEqual({ code });
    expect(judge(token())).toHaveProperty('principal');
  });

  test.each([
    ['method', { ...request, method: 'PUT' }],
    ['path', { ...request, target: '/v1/payments?limit=1' }],
    ['query', { ...request, target: '/v1/invoices?limit=100' }],
    ['spelling of the path', { ...request, target: '/v1/%69nvoices?limit=1' }],
    ['body', { ...request, body: Buffer.from('{"total":9}') }],
    ['absence of a body', { ...request, body: Buffer.alloc(0) }],
  ])('is good for no request with another %s', (_name, received) => {
    const assertion = token();
    expect(judge(assertion, {}, received)).toEqual({ code: 'other_request' });
    expect(judge(assertion)).toHaveProperty('principal');
  });

  test('is good once, and being refused uses nothing up', () => {
    const replays = new ReplayMemory();
    const assertion = token();
    expect(judge(assertion, { replays }, { ...request, method: 'PUT' })).toEqual({ code: 'other_request' });
    expect(judge(assertion, { replays })).toHaveProperty('principal');
    expect(judge(assertion, { replays })).toEqual({ code: 'replayed' });
    expect(judge(assertion, { replays, now: new Date(now.getTime() + 19_999) })).toEqual({ code: 'replayed' });
    expect(judge(assertion, { replays, now: new Date(now.getTime() + 20_000) })).toEqual({ code: 'expired' });
  });

  test('is refused when there is no room to remember it, until others have ended', () => {
    const replays = new ReplayMemory(2);
    expect(judge(token(), { replays })).toHaveProperty('principal');
    expect(judge(token(), { replays })).toHaveProperty('principal');
    expect(judge(token(), { replays })).toEqual({ code: 'memory_full' });
    const later = new Date(now.getTime() + 21_000);
    const fresh = goodClaims({ iat: seconds + 20, exp: seconds + 40 });
    expect(judge(token(fresh), { replays, now: later })).toHaveProperty('principal');
    expect(replays.size).toBe(1);
  });
});

describe('a key document', () => {
  test('gives only Ed25519 keys that are called by their thumbprint', () => {
    const weak = { kty: 'RSA', kid: key.jwk.kid, use: 'sig', alg: 'RS256', n: 'AQ', e: 'AQAB' };
    const renamed = { ...stranger.jwk, kid: key.jwk.kid };
    const symmetric = { kty: 'oct', kid: stranger.jwk.kid, k: 'AA', use: 'sig', alg: 'HS256' };
    expect([...parseAssertionKeys({ keys: [weak, renamed, symmetric, 7, key.jwk] }).keys()]).toEqual([key.jwk.kid]);
  });

  test.each([[null], [[]], [{}], ['{"keys":[]}'], [{ keys: 'x' }]])('%j is none', (document) => {
    expect(() => parseAssertionKeys(document)).toThrow();
  });
});
