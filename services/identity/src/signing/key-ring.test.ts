import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import type { PublicKey } from '@prime-nest/contracts/claims';
import { calculateJwkThumbprint, exportJWK } from 'jose';
import { generateRsaKey } from './ensure-key.command.js';
import { dueTransitions, publicKeyOf, publishedKeys, type KeyState, type RingKey } from './key-ring.js';

const start = new Date('2026-03-01T08:00:00Z');
const at = (seconds: number) => new Date(start.getTime() + seconds * 1000);
const policy = { leadSeconds: 600, retiringSeconds: 1020, rotationSeconds: 86_400 };
const key = (kid: string, state: KeyState, since = start): RingKey => ({
  kid,
  state,
  stateSince: since,
  publicKey: { kty: 'RSA', kid, use: 'sig', alg: 'RS256', n: 'n', e: 'AQAB' } satisfies PublicKey,
});

describe('key ring', () => {
  test('a pending key signs only after its lead', () => {
    const keys = [key('old', 'active'), key('new', 'pending')];
    expect(dueTransitions(keys, at(599.999), policy)).toEqual([]);
    expect(dueTransitions(keys, at(600), policy)).toEqual([{ kind: 'activate', kid: 'new', replaces: 'old' }]);
  });

  test('without an active key the pending one does not wait', () => {
    expect(dueTransitions([key('new', 'pending')], at(0), policy)).toEqual([
      { kind: 'activate', kid: 'new', replaces: undefined },
    ]);
  });

  test('a retiring key outlives the last token it signed', () => {
    const keys = [key('new', 'active'), key('old', 'retiring')];
    expect(dueTransitions(keys, at(1019), policy)).toEqual([]);
    expect(dueTransitions(keys, at(1020), policy)).toEqual([{ kind: 'retire', kid: 'old' }]);
  });

  test('an old active key gets one successor, and none when rotation is by command only', () => {
    const active = key('only', 'active');
    expect(dueTransitions([active], at(86_400), policy)).toEqual([{ kind: 'create' }]);
    expect(dueTransitions([active, key('next', 'pending', at(86_400))], at(86_401), policy)).toEqual([]);
    expect(dueTransitions([active], at(86_400_000), { ...policy, rotationSeconds: 0 })).toEqual([]);
  });

  test('published is what verifies, the signing key first; retired and compromised keys are not', () => {
    const keys = (['retiring', 'pending', 'compromised', 'active', 'retired'] as const).map((state) =>
      key(state, state),
    );
    expect(publishedKeys(keys).map(({ kid }) => kid)).toEqual(['active', 'pending', 'retiring']);
  });

  test('kid is the RFC 7638 thumbprint, and the private half is not part of what is published', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const published = publicKeyOf(privateKey);
    expect(published).toEqual(publicKeyOf(publicKey));
    expect(published.kid).toBe(await calculateJwkThumbprint(await exportJWK(publicKey)));
    expect(Object.keys(published).sort()).toEqual(['alg', 'e', 'kid', 'kty', 'n', 'use']);
  });
});

test('a generated key has the size that was asked for', async () => {
  expect((await generateRsaKey(2048)).asymmetricKeyDetails?.modulusLength).toBe(2048);
});
