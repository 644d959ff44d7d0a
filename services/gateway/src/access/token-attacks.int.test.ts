import { readFileSync } from 'node:fs';
import { createPrivateKey, createPublicKey, createSecretKey, sign } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ReplayMemory } from '@prime-nest/assertion/replay-memory';
import { verifyAssertion } from '@prime-nest/assertion/verify';
import { compactVerify } from 'jose';
import { startCanary } from '../../test/canary.js';
import type { Canary } from '../../test/canary.js';
import { allowOnly, newUser, startGateway, startServers } from '../../test/harness.js';
import type { Gateway, Servers } from '../../test/harness.js';
import { naiveAccepts } from '../../test/naive-verifier.js';
import { raw, statusOf } from '../../test/raw.js';
import { tokenAttacks } from '../../test/token-attacks.js';
import { audience, goodClaims, issuer } from '../../test/tokens.js';
import { verifyAccessToken } from './access-token.js';

let servers: Servers;
let gateway: Gateway;
let canary: Canary;

beforeAll(async () => {
  [servers, canary] = await Promise.all([startServers(), startCanary()]);
  allowOnly(servers.peers, ['rbac:view']);
  servers.peers.answer('rbac.role.list.v1', () => ({ data: [], total: 0 }));
  gateway = await startGateway(servers);
});
afterAll(async () => {
  canary?.stop();
  await gateway?.stop();
  await servers?.stop();
});

const ask = async (lines: string, path = '/api/roles') =>
  statusOf(await raw(gateway.port, `GET ${path} HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n${lines}\r\n`));

describe('the token attack catalogue through the gateway', () => {
  const attacks = () => tokenAttacks({ key: servers.key, claims: goodClaims(new Date()), canaryUrl: canary.url });

  test('none is accepted, none is an error of ours, and nobody is asked for a key', async () => {
    const accepted: string[] = [];
    for (const { name, authorization } of attacks()) {
      const status = await ask(`Authorization: ${authorization}\r\n`);
      if (![400, 401, 431].includes(status)) accepted.push(`${status} ${name}`);
    }
    expect(accepted).toEqual([]);
    expect(canary.touched()).toBe(0);
    expect(await ask(`Authorization: Bearer ${newUser(servers.key).token}\r\n`)).toBe(200);
  });

  test('control: a careless verifier accepts many of them and asks for keys', async () => {
    const { url, touched, stop } = await startCanary();
    const list = tokenAttacks({ key: servers.key, claims: goodClaims(new Date()), canaryUrl: url });
    let accepted = 0;
    for (const { authorization } of list)
      if (await naiveAccepts(authorization, servers.key.publicKeyPem)) accepted += 1;
    stop();
    expect(accepted).toBeGreaterThan(list.length / 3);
    expect(touched()).toBeGreaterThan(0);
  });

  test('a token anywhere but in the one header is no token', async () => {
    const { token } = newUser(servers.key);
    const places: [string, string?][] = [
      [`Cookie: access_token=${token}; Authorization=Bearer ${token}\r\n`],
      [`X-Authorization: Bearer ${token}\r\n`],
      [`Proxy-Authorization: Bearer ${token}\r\n`],
      [`X-Access-Token: ${token}\r\n`],
      ['', `/api/roles?access_token=${token}`],
      ['', `/api/roles?authorization=Bearer%20${token}`],
    ];
    for (const [lines, path] of places) expect([401, 431]).toContain(await ask(lines, path));
  });
});

interface Vector {
  readonly tcId: number;
  readonly jws?: string;
  readonly jwe?: string;
  readonly result: 'valid' | 'invalid';
}
interface Group {
  readonly public?: JsonWebKey & { readonly kid?: string; readonly alg?: string };
  readonly tests: readonly Vector[];
}

/** Project Wycheproof, test/vectors/wycheproof. */
const groups = ['json_web_signature_test', 'json_web_encryption_test'].flatMap((name) => {
  const file = new URL(`../../test/vectors/wycheproof/${name}.json`, import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { testGroups: Group[] }).testGroups;
});

describe('public JOSE vectors', () => {
  const policy = { issuer, audience, skewSeconds: 30, lifetimeSecondsMax: 86_400 };

  test('none is an access token, even where its own key is trusted under every name', () => {
    const accepted = groups.flatMap(({ public: jwk, tests }) => {
      const key: KeyObject | undefined = jwk === undefined ? undefined : createPublicKey({ key: jwk, format: 'jwk' });
      const keys = { get: () => key };
      return tests.filter(({ jws, jwe }) => 'claims' in verifyAccessToken(jws ?? jwe ?? '', keys, new Date(), policy));
    });
    expect(accepted).toEqual([]);
    expect(groups.flatMap(({ tests }) => tests).length).toBe(540);
  });

  test('none gets through the gateway', async () => {
    const sent = groups.flatMap(({ tests }) => tests.map(({ jws, jwe }) => jws ?? jwe ?? ''));
    const statuses: number[] = [];
    for (const text of sent) {
      if (/^[\x21-\x7e]+$/.test(text)) statuses.push(await ask(`Authorization: Bearer ${text}\r\n`));
    }
    expect(statuses.filter((status) => status !== 401)).toEqual([]);
    expect(statuses.length).toBeGreaterThan(400);
  });

  test('control: a general verifier with the same keys accepts the valid signatures among them', async () => {
    let accepted = 0;
    for (const { public: jwk, tests } of groups) {
      if (jwk === undefined) continue;
      const key = createPublicKey({ key: jwk, format: 'jwk' });
      for (const { jws = '' } of tests)
        accepted += await compactVerify(jws, key).then(
          () => 1,
          () => 0,
        );
    }
    expect(accepted).toBeGreaterThan(10);
  });
});

/** RFC 7520, test/vectors/rfc7520: everything that JOSE can express, signed and encrypted correctly. */
const rfc7520 = JSON.parse(
  readFileSync(new URL('../../test/vectors/rfc7520/examples.json', import.meta.url), 'utf8'),
) as { privateKey: JsonWebKey; examples: { section: string; key?: JsonWebKey; text: string }[] };

describe('the examples of RFC 7520', () => {
  const policy = { issuer, audience, skewSeconds: 30, lifetimeSecondsMax: 86_400 };
  const keyOf = (jwk: JsonWebKey): KeyObject =>
    jwk.kty === 'oct'
      ? createSecretKey(Buffer.from(jwk.k ?? '', 'base64url'))
      : createPublicKey({ key: jwk, format: 'jwk' });

  test('are no access tokens and no assertions, each with its own key trusted under every name', () => {
    const verdicts = rfc7520.examples.map(({ section, key, text }) => {
      const trusted = key === undefined ? undefined : keyOf(key);
      const token = verifyAccessToken(text, { get: () => trusted }, new Date(), policy);
      const assertion = verifyAssertion(
        text,
        { method: 'GET', target: '/', body: Buffer.alloc(0) },
        {
          keys: Object.assign(new Map<string, KeyObject>(), { get: () => trusted }),
          audience: 'x',
          now: new Date(),
          replays: new ReplayMemory(),
        },
      );
      return [section, 'claims' in token, 'principal' in assertion];
    });
    expect(verdicts).toEqual(rfc7520.examples.map(({ section }) => [section, false, false]));
    expect(verdicts.length).toBe(23);
  });

  test('get nobody through the gateway', async () => {
    const compact = rfc7520.examples.map(({ text }) => text).filter((text) => !text.startsWith('{'));
    const statuses = await Promise.all(compact.map((text) => ask(`Authorization: Bearer ${text}\r\n`)));
    expect([...new Set(statuses)]).toEqual([401]);
  });

  test('control: a general verifier accepts those that are signed, and an access token of the same key is one', async () => {
    const signed = rfc7520.examples.filter(({ section, key }) => /^4\.[1-4]$/.test(section) && key !== undefined);
    const accepted = await Promise.all(
      signed.map(async ({ text, key = {} }) => (await compactVerify(text, keyOf(key))).protectedHeader.alg),
    );
    expect(accepted).toEqual(['RS256', 'PS384', 'ES512', 'HS256']);
    const { privateKey } = rfc7520;
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const input = `${encode({ alg: 'RS256', typ: 'at+jwt', kid: 'rfc7520' })}.${encode(goodClaims(new Date()))}`;
    const mac = sign('RSA-SHA256', Buffer.from(input), createPrivateKey({ key: privateKey, format: 'jwk' }));
    const keys = { get: () => createPublicKey({ key: privateKey, format: 'jwk' }) };
    const verdict = verifyAccessToken(`${input}.${mac.toString('base64url')}`, keys, new Date(), policy);
    expect(verdict).toHaveProperty('claims');
  });
});
