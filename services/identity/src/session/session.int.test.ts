import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { testKeyPair } from '@prime-nest/testkit/keys';
import { createPublicKey, createSecretKey, randomBytes } from 'node:crypto';
import { jwtVerify } from 'jose';
import { AccessTokenClaims } from '@prime-nest/contracts/claims';
import { anonymous, eventsOf, outcomeOf, type Fixture } from '../testing/identity-fixture.js';
import { openPlace, type IdentityPlace } from '../../test/identity-place.js';
import type { Tx } from '@prime-nest/kit/database';
import { mintRefreshToken } from './refresh-token.js';
import { listRevocations } from './revocation.store.js';
import { rotation } from './session.store.js';

let place: IdentityPlace;
let identity: Fixture;
/** More of them prove more: IDENTITY_PROVE_ROUNDS=50. */
const rounds = Number(process.env['IDENTITY_PROVE_ROUNDS'] ?? 10);
const timeoutMs = 60_000 + rounds * 2_000;

beforeAll(async () => {
  place = await openPlace();
  identity = await place.open();
});
afterAll(async () => {
  await identity.close();
  await place.stop();
});

async function signIn(service: Fixture = identity) {
  const account = await service.newAccount();
  const tokens = await service.login.run(account, anonymous('192.0.2.1'));
  return { account, tokens };
}

const refresh = (refreshToken: string, idempotencyKey?: string, service: Fixture = identity) =>
  service.refresh.run({ refreshToken, idempotencyKey }, anonymous('192.0.2.2'));

const isRevoked = async (sessionId: string) => {
  const { revocations } = await listRevocations(identity.database, { after: 0, max: 2_000, now: new Date() });
  return revocations.some((revocation) => revocation.kind === 'session' && revocation.sessionId === sessionId);
};

describe('signing in', () => {
  test('the access token is RS256 at+jwt with exactly the documented claims, and lives 15 minutes', async () => {
    const { account, tokens } = await signIn();
    const { payload, protectedHeader } = await jwtVerify(tokens.access_token, createPublicKey(testKeyPair().publicKey));
    expect(protectedHeader).toEqual({ alg: 'RS256', typ: 'at+jwt', kid: identity.keys.signer().kid });
    const claims = AccessTokenClaims.parse(payload);
    expect(claims).toMatchObject({
      iss: 'prime-nest',
      aud: 'prime-nest',
      sub: account.id,
      sid: tokens.session_id,
      ver: 1,
    });
    expect(claims.exp - claims.iat).toBe(900);
    expect(tokens).toMatchObject({ token_type: 'Bearer', expires_in: 900, refresh_expires_in: 7 * 86_400 });
  });

  test('unknown, wrong and inactive answer alike, at the price of one hash each', async () => {
    const known = await identity.newAccount();
    const inactive = await identity.newAccount();
    await identity.management.update({ id: inactive.id, isActive: false }, anonymous());
    const attempts = [
      { email: 'nobody@example.org', password: known.password },
      { email: known.email, password: 'not-the-password-of-it' },
      { email: inactive.email, password: inactive.password },
    ];
    const answers: unknown[] = [];
    for (const attempt of attempts) {
      const before = identity.hashCount();
      const error: unknown = await identity.login.run(attempt, anonymous()).catch((thrown: unknown) => thrown);
      answers.push({ ...(error as object), hashes: identity.hashCount() - before });
    }
    expect(answers[0]).toMatchObject({ code: 'invalid_credentials', details: {}, hashes: 1 });
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).toEqual(answers[0]);
  });

  test('a session shows where it was opened, and the event is about it', async () => {
    const { account, tokens } = await signIn();
    const { data } = await identity.sessions.list(account.id);
    expect(data).toEqual([
      expect.objectContaining({ id: tokens.session_id, accountId: account.id, ip: '192.0.2.1', userAgent: 'test/1' }),
    ]);
    expect(await eventsOf(identity.database, tokens.session_id)).toEqual([
      expect.objectContaining({
        type: 'identity.login.succeeded.v1',
        actor: { type: 'user', id: account.id, sessionId: tokens.session_id },
      }),
    ]);
  });

  test('one session too many ends the least recently used one, and says so', async () => {
    const service = await place.open({ env: { IDENTITY_SESSIONS_PER_ACCOUNT_MAX: '3' } });
    const account = await service.newAccount();
    const opened = await Promise.all([1, 2, 3].map(() => service.login.run(account, anonymous())));
    const [kept] = opened;
    if (kept === undefined) throw new Error('no session');
    const renewed = await refresh(kept.refresh_token, undefined, service);
    await Promise.all([1, 2].map(() => service.login.run(account, anonymous())));
    const { data } = await service.sessions.list(account.id);
    expect(data).toHaveLength(3);
    expect(data.map(({ id }) => id)).toContain(renewed.session_id);
    const ended = opened.filter(({ session_id }) => session_id !== renewed.session_id);
    for (const { session_id } of ended) {
      expect(await isRevoked(session_id)).toBe(true);
      expect((await eventsOf(service.database, session_id)).map(({ reasonCode }) => reasonCode)).toContain(
        'session_cap',
      );
    }
    await service.close();
  });
});

describe('refreshing', () => {
  test(
    '200 uses of one token at once rotate once, and nothing of the family lives afterwards',
    async () => {
      const replicas = [identity, await place.open(), await place.open()];
      for (let round = 0; round < rounds; round++) {
        const { account, tokens } = await signIn();
        const storm = Array.from({ length: 200 }, (_, i) => refresh(tokens.refresh_token, undefined, replicas[i % 3]));
        const results = await Promise.allSettled(storm);
        const won = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
        expect(won).toHaveLength(1);
        expect(
          new Set(results.flatMap((r) => (r.status === 'rejected' ? [(r.reason as { code: string }).code] : []))),
        ).toEqual(new Set(['invalid_grant']));
        expect(await outcomeOf(refresh(won[0]?.refresh_token ?? ''))).toBe('invalid_grant');
        expect((await identity.sessions.list(account.id)).data).toEqual([]);
        expect(await isRevoked(tokens.session_id)).toBe(true);
        const types = (await eventsOf(identity.database, tokens.session_id)).map(({ type }) => type);
        expect(types).toEqual([
          'identity.login.succeeded.v1',
          'identity.session.refreshed.v1',
          'identity.session.reuse_detected.v1',
        ]);
      }
      await Promise.all(replicas.slice(1).map((replica) => replica.close()));
    },
    timeoutMs,
  );

  test('of 30 transactions at once with one generation exactly one rotates; find-then-update, the control, lets several', async () => {
    const naive = async (tx: Tx, sessionId: string) => {
      const [row] = await tx.query<{ generation: number }>('SELECT generation FROM session WHERE id = $1', [sessionId]);
      if (row?.generation !== 0) return undefined;
      return (
        await tx.query('UPDATE session SET generation = generation + 1 WHERE id = $1 RETURNING id', [sessionId])
      )[0];
    };
    const guarded = async (tx: Tx, sessionId: string, accountId: string) => {
      const { mutation, params } = rotation({
        sessionId,
        accountId,
        presentedGeneration: 0,
        now: new Date(),
        idleSeconds: 60,
        retryKey: null,
        redemption: { generation: 0, at: '', ip: null, userAgent: null, correlationId: 'none' },
      });
      return (await tx.query(mutation, params))[0];
    };
    const winners: number[] = [];
    for (const rotate of [guarded, naive]) {
      const { account, tokens } = await signIn();
      const all = Array.from({ length: 30 }, () =>
        identity.database.transaction((tx) => rotate(tx, tokens.session_id, account.id)),
      );
      winners.push((await Promise.all(all)).filter((row) => row !== undefined).length);
    }
    expect(winners[0]).toBe(1);
    expect(winners[1]).toBeGreaterThan(1);
  });

  test('the same request 100 times over is one rotation with one successor', async () => {
    const { tokens } = await signIn();
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => refresh(tokens.refresh_token, 'retry-me-please')),
    );
    expect(new Set(answers.map(({ refresh_token }) => refresh_token)).size).toBe(1);
    const next = await refresh(answers[0]?.refresh_token ?? '');
    expect(next.session_id).toBe(tokens.session_id);
    const refreshed = (await eventsOf(identity.database, tokens.session_id)).filter(({ type }) =>
      type.includes('refreshed'),
    );
    expect(refreshed).toHaveLength(2);
  });

  test('a lost answer is had again with the same key, and another key is reuse', async () => {
    const { tokens } = await signIn();
    await refresh(tokens.refresh_token, 'first-key');
    const again = await refresh(tokens.refresh_token, 'first-key');
    expect(await outcomeOf(refresh(again.refresh_token, 'second-key'))).toBe('ok');
    expect(await outcomeOf(refresh(again.refresh_token, 'third-key'))).toBe('invalid_grant');
    expect(await isRevoked(tokens.session_id)).toBe(true);
  });

  test('reuse leaves one incident that names both redemptions, and other sessions of the account alone', async () => {
    const { account, tokens } = await signIn();
    const other = await identity.login.run(account, anonymous());
    await refresh(tokens.refresh_token);
    const thief = { ...anonymous('198.51.100.9'), userAgent: 'thief/1' };
    await outcomeOf(identity.refresh.run({ refreshToken: tokens.refresh_token }, thief));
    await outcomeOf(identity.refresh.run({ refreshToken: tokens.refresh_token }, thief));
    const incidents = (await eventsOf(identity.database, tokens.session_id)).filter(({ type }) =>
      type.includes('reuse'),
    );
    expect(incidents).toHaveLength(1);
    expect(incidents[0]).toMatchObject({
      reasonCode: 'recent',
      change: {
        before: { redemption: { generation: 0, ip: '192.0.2.2', userAgent: 'test/1' } },
        after: { redemption: { generation: 0, ip: '198.51.100.9', userAgent: 'thief/1' } },
      },
    });
    expect(await outcomeOf(refresh(other.refresh_token))).toBe('ok');
  });

  test('an older ancestor is reuse as well', async () => {
    const { tokens } = await signIn();
    let current = tokens.refresh_token;
    for (let i = 0; i < 12; i++) current = (await refresh(current)).refresh_token;
    expect(await outcomeOf(refresh(tokens.refresh_token))).toBe('invalid_grant');
    expect(await outcomeOf(refresh(current))).toBe('invalid_grant');
    const [incident] = (await eventsOf(identity.database, tokens.session_id)).filter(({ type }) =>
      type.includes('reuse'),
    );
    expect(incident).toMatchObject({ reasonCode: 'stale', change: { before: { redemption: { generation: 0 } } } });
  });

  test('inside a reuse window everybody gets the identical successor and nobody is logged out', async () => {
    const service = await place.open({ env: { REFRESH_REUSE_WINDOW_SECONDS: '10' } });
    const { tokens } = await signIn(service);
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => refresh(tokens.refresh_token, undefined, service)),
    );
    expect(new Set(answers.map(({ refresh_token }) => refresh_token)).size).toBe(1);
    expect(await outcomeOf(refresh(answers[0]?.refresh_token ?? '', undefined, service))).toBe('ok');
    await service.close();
  });

  test('a forged or altered token changes nothing', async () => {
    const { tokens } = await signIn();
    const flipped = tokens.refresh_token.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
    for (const forged of ['', 'rt1_', flipped, `${tokens.refresh_token}A`, tokens.access_token]) {
      expect(await outcomeOf(refresh(forged))).toBe('invalid_grant');
    }
    expect(await outcomeOf(refresh(tokens.refresh_token))).toBe('ok');
  });

  test('a well-formed token that the session did not mint changes nothing, whatever generation it names', async () => {
    const { account, tokens } = await signIn();
    const current = (await refresh((await refresh(tokens.refresh_token)).refresh_token)).refresh_token;
    const other = await identity.newAccount();
    const events = (await eventsOf(identity.database, tokens.session_id)).length;
    const row = async () => identity.database.query('SELECT * FROM session WHERE id = $1', [tokens.session_id]);
    const before = await row();
    for (const generation of [0, 1, 2, 3]) {
      for (const accountId of [account.id, other.id]) {
        const subject = { sessionId: tokens.session_id, accountId, generation };
        expect(await outcomeOf(refresh(mintRefreshToken(createSecretKey(randomBytes(32)), subject)))).toBe(
          'invalid_grant',
        );
      }
    }
    expect(await row()).toEqual(before);
    expect(await eventsOf(identity.database, tokens.session_id)).toHaveLength(events);
    expect(await outcomeOf(refresh(current))).toBe('ok');
  });

  test('an Idempotency-Key of one session means nothing to another', async () => {
    const [mine, theirs] = [await signIn(), await signIn()];
    const successor = await refresh(mine.tokens.refresh_token, 'shared-by-chance');
    const answer = await refresh(theirs.tokens.refresh_token, 'shared-by-chance');
    expect(answer.session_id).toBe(theirs.tokens.session_id);
    expect(answer.refresh_token).not.toBe(successor.refresh_token);
    // Redeemed under that key in its own session, and presented again with it in the other's place: reuse is reuse.
    await refresh(successor.refresh_token, 'another-of-mine');
    expect(await outcomeOf(refresh(successor.refresh_token, 'shared-by-chance'))).toBe('invalid_grant');
    expect(await outcomeOf(refresh(answer.refresh_token))).toBe('ok');
  });

  test('a retry is refused, with its key too, once the password has been changed', async () => {
    const { account, tokens } = await signIn();
    await refresh(tokens.refresh_token, 'retry-me-please');
    const change = { accountId: account.id, currentPassword: account.password, newPassword: 'violet-harbor-7-moss' };
    await identity.passwords.run(change, anonymous());
    expect(await outcomeOf(refresh(tokens.refresh_token, 'retry-me-please'))).toBe('invalid_grant');
  });
});

describe('ending sessions', () => {
  test('an ended session refreshes no more, is on the list for gateways, and ending it again is no error', async () => {
    const { account, tokens } = await signIn();
    const session = { accountId: account.id, sessionId: tokens.session_id, reason: 'logout' } as const;
    await identity.ending.one(session, anonymous());
    await identity.ending.one(session, anonymous());
    expect(await outcomeOf(refresh(tokens.refresh_token))).toBe('invalid_grant');
    expect(await isRevoked(tokens.session_id)).toBe(true);
    const other = await identity.newAccount();
    expect(await outcomeOf(identity.ending.one({ ...session, accountId: other.id }, anonymous()))).toBe('not_found');
  });

  test('a restart brings nothing back: what was revoked is on the list of the new process', async () => {
    const { account, tokens } = await signIn();
    await identity.ending.one({ accountId: account.id, sessionId: tokens.session_id, reason: 'logout' }, anonymous());
    const restarted = await place.open();
    const { sequence, revocations } = await restarted.sessions.revocations(0);
    expect(revocations).toContainEqual(expect.objectContaining({ kind: 'session', sessionId: tokens.session_id }));
    expect(sequence).toBeGreaterThanOrEqual(revocations.length);
    expect(await outcomeOf(refresh(tokens.refresh_token, undefined, restarted))).toBe('invalid_grant');
    await restarted.close();
  });

  test('ending all ends every one of the account and none of another', async () => {
    const { account, tokens } = await signIn();
    const second = await identity.login.run(account, anonymous());
    const stranger = await signIn();
    expect(await identity.ending.all({ accountId: account.id, reason: 'logout_all' }, anonymous())).toBe(2);
    for (const { refresh_token } of [tokens, second])
      expect(await outcomeOf(refresh(refresh_token))).toBe('invalid_grant');
    expect(await outcomeOf(refresh(stranger.tokens.refresh_token))).toBe('ok');
  });

  test('revocations are numbered without a gap however many end at once', async () => {
    const before = (await listRevocations(identity.database, { after: 0, max: 2_000, now: new Date() })).sequence;
    const signedIn = await Promise.all(Array.from({ length: 20 }, () => signIn()));
    await Promise.all(
      signedIn.map(({ account, tokens }) =>
        identity.ending.one({ accountId: account.id, sessionId: tokens.session_id, reason: 'logout' }, anonymous()),
      ),
    );
    const after = await listRevocations(identity.database, { after: 0, max: 2_000, now: new Date() });
    expect(after.sequence - before).toBe(20);
  });
});
