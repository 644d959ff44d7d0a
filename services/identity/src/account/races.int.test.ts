import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newId } from '@prime-nest/kit/ids';
import { eventually } from '@prime-nest/testkit/eventually';
import { endAllSessions, opening, rotation, type NewSession } from '../session/session.store.js';
import { anonymous, goodPassword, outcomeOf, type Fixture } from '../testing/identity-fixture.js';
import { openPlace, type IdentityPlace } from '../../test/identity-place.js';
import { replacePassword } from './account.store.js';

let place: IdentityPlace;
let identity: Fixture;
/** More of them prove more: IDENTITY_PROVE_ROUNDS=300. */
const rounds = Number(process.env['IDENTITY_PROVE_ROUNDS'] ?? 100);
const timeoutMs = 60_000 + rounds * 1_000;
const newPassword = 'violet-harbor-7-moss';

beforeAll(async () => {
  place = await openPlace();
  identity = await place.open();
});
afterAll(async () => {
  await identity.close();
  await place.stop();
});

/** Sessions of the account that a refresh or a gateway would still take for good. */
async function unended(accountId: string): Promise<number> {
  const sql = 'SELECT count(*)::int AS count FROM session WHERE account_id = $1 AND revoked_at IS NULL';
  return (await identity.database.query<{ count: number }>(sql, [accountId]))[0]?.count ?? -1;
}

/** Runs `racers` while the row they need is held, and lets go once all of them stand in line for it. */
async function fromOneLine(held: string, id: string, racers: (() => Promise<unknown>)[]): Promise<void> {
  const running: Promise<unknown>[] = [];
  await identity.database.transaction(async (tx) => {
    await tx.query(`SELECT 1 FROM ${held} WHERE id = $1 FOR UPDATE`, [id]);
    running.push(...racers.map((racer) => racer()));
    // Asked by another connection: within a transaction the answer stays what it was.
    await eventually(async () => (await lockWaits()) > 0, { intervalMs: 2, deadlineMs: 1500 });
  });
  await Promise.all(running);
}

function newSession(accountId: string, provenEpoch: number): NewSession {
  const now = new Date();
  const later = new Date(now.getTime() + 3600_000);
  return {
    id: newId(),
    accountId,
    provenEpoch,
    sealedKey: randomBytes(32),
    now,
    idleExpiresAt: later,
    expiresAt: later,
    ip: null,
    userAgent: null,
  };
}

describe('a password change', () => {
  test(
    'racing a sign-in with the old password leaves no session of it',
    async () => {
      const outcomes = new Set<string>();
      for (let round = 0; round < rounds; round++) {
        const { id, email } = await identity.newAccount();
        let signedIn: string | undefined;
        await fromOneLine('account', id, [
          () => identity.passwords.run({ accountId: id, currentPassword: goodPassword, newPassword }, anonymous()),
          async () => {
            const login = identity.login.run({ email, password: goodPassword }, anonymous());
            outcomes.add(await outcomeOf(login.then(({ refresh_token }) => (signedIn = refresh_token))));
          },
        ]);
        expect(await unended(id)).toBe(0);
        if (signedIn !== undefined) {
          expect(await outcomeOf(identity.refresh.run({ refreshToken: signedIn }, anonymous()))).toBe('invalid_grant');
        }
      }
      for (const outcome of outcomes) expect(['ok', 'invalid_credentials']).toContain(outcome);
    },
    timeoutMs,
  );

  test(
    'racing a refresh leaves no session to refresh',
    async () => {
      for (let round = 0; round < rounds; round++) {
        const account = await identity.newAccount();
        const tokens = await identity.login.run(account, anonymous());
        let successor: string | undefined;
        await fromOneLine('session', tokens.session_id, [
          () =>
            identity.passwords.run({ accountId: account.id, currentPassword: goodPassword, newPassword }, anonymous()),
          async () => {
            const refresh = identity.refresh.run({ refreshToken: tokens.refresh_token }, anonymous());
            await outcomeOf(refresh.then(({ refresh_token }) => (successor = refresh_token)));
          },
        ]);
        expect(await unended(account.id)).toBe(0);
        for (const refreshToken of [tokens.refresh_token, successor ?? '']) {
          expect(await outcomeOf(identity.refresh.run({ refreshToken }, anonymous()))).toBe('invalid_grant');
        }
      }
    },
    timeoutMs,
  );

  test('under way, holds back a guarded session and not the unguarded one of the control', async () => {
    const { database } = identity;
    const accounts = [await identity.newAccount(), await identity.newAccount()];
    const left: number[] = [];
    const naive = (session: NewSession) =>
      database.transaction((tx) =>
        tx.query(
          `INSERT INTO session (id, account_id, credential_epoch, sealed_key, created_at, rotated_at, idle_expires_at, expires_at)
           SELECT $1, id, $3, $4, $5, $5, $6, $6 FROM account WHERE id = $2 AND credential_epoch = $3 AND is_active`,
          [session.id, session.accountId, session.provenEpoch, session.sealedKey, session.now, session.expiresAt],
        ),
      );
    const guarded = (session: NewSession) => {
      const { mutation, params } = opening(session);
      return database.query(mutation, params);
    };
    for (const [index, insert] of [guarded, naive].entries()) {
      const { id, passwordHash } = accounts[index] ?? (await identity.newAccount());
      let inserting: Promise<unknown> = Promise.resolve();
      await database.transaction(async (tx) => {
        await replacePassword(tx, { id, provenEpoch: 1, passwordHash, now: new Date() });
        await endAllSessions(tx, id, 'password_changed', new Date());
        inserting = insert(newSession(id, 1));
        // The control is done before the commit; the guarded one waits for it.
        await Promise.race([inserting, eventually(async () => (await lockWaits()) > 0, { deadlineMs: 1500 })]);
      });
      await inserting;
      left.push(await unended(id));
    }
    expect(left).toEqual([0, 1]);
  });

  test('is what a rotation looks at: the same statement without that look would go on', async () => {
    const account = await identity.newAccount();
    const { session_id: sessionId } = await identity.login.run(account, anonymous());
    await identity.passwords.run({ accountId: account.id, currentPassword: goodPassword, newPassword }, anonymous());
    const { mutation, params } = rotation({
      sessionId,
      accountId: account.id,
      presentedGeneration: 0,
      now: new Date(),
      idleSeconds: 60,
      retryKey: null,
      redemption: { generation: 0, at: '', ip: null, userAgent: null, correlationId: 'none' },
    });
    expect(await identity.database.query(mutation, params)).toEqual([]);
    const naive = 'UPDATE session SET generation = generation + 1 WHERE id = $1 AND generation = 0 RETURNING id';
    expect(await identity.database.query(naive, [sessionId])).toHaveLength(1);
  });
});

describe('deactivation and deletion', () => {
  test.each(['deactivated', 'deleted'] as const)('racing a sign-in, a %s account has no session', async (how) => {
    for (let round = 0; round < 25; round++) {
      const { id, email } = await identity.newAccount();
      await fromOneLine('account', id, [
        () =>
          how === 'deleted'
            ? identity.management.remove(id, anonymous())
            : identity.management.update({ id, isActive: false }, anonymous()),
        () => outcomeOf(identity.login.run({ email, password: goodPassword }, anonymous())),
      ]);
      expect(await unended(id)).toBe(0);
    }
  });
});

async function lockWaits(): Promise<number> {
  const sql = `SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
  return (await identity.database.query<{ count: number }>(sql))[0]?.count ?? 0;
}
