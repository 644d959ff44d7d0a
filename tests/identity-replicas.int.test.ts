import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { RunningSystem } from '@prime-nest/devstack/start-system';
import { identityRpc } from '@prime-nest/contracts/identity';
import { createBusClient, type BusClient } from '@prime-nest/kit/bus/client';
import { connectBus } from '@prime-nest/kit/bus/connection';
import { serviceContext } from '@prime-nest/kit/context';
import { silentLogger } from '@prime-nest/kit/log';
import { eventually } from '@prime-nest/testkit/eventually';
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { startExtraGateway } from './extra-gateway.js';
import { type Answer, type Call, restClient } from './rest-client.js';
import { startTestSystem } from './test-system.js';

const replicas = ['identity-1', 'identity-2'];
const password = 'orchid-lantern-42-quay';

let system: RunningSystem;
let call: Call;
let admin: string;
let stop: () => Promise<void>;
/** The superuser, in the services' database. */
let owner: pg.Client;
let bus: BusClient<typeof identityRpc>;
let disconnect: () => Promise<void>;

beforeAll(async () => {
  ({ system, call, admin, stop } = await startTestSystem({
    replicas: { identity: replicas.length },
    env: { IDENTITY_KEY_LEAD_SECONDS: '1', IDENTITY_SESSIONS_PER_ACCOUNT_MAX: '3' },
  }));
  owner = new pg.Client({ connectionString: system.state.databaseUrl });
  await owner.connect();
  const connection = await connectBus({ ...system.busCredentials('gateway'), log: silentLogger() });
  bus = createBusClient({ connection, contracts: identityRpc, log: silentLogger() });
  disconnect = () => connection.close();
}, 180_000);
afterAll(async () => {
  await disconnect?.();
  await owner?.end();
  await stop?.();
}, 60_000);

async function newUser(): Promise<{ id: string; email: string }> {
  return eventually(
    async () => {
      const email = `${randomUUID()}@example.com`;
      const created = await call('POST', '/api/users', { token: admin, body: { email, name: 'Somebody', password } });
      return created.status === 201 && { id: String(created.body['id']), email };
    },
    { deadlineMs: 60_000 },
  );
}

interface SignedIn {
  readonly email: string;
  readonly sessionId: string;
  readonly token: string;
  readonly refreshToken: string;
}

async function signIn(): Promise<SignedIn> {
  const { email } = await newUser();
  const answer = await eventually(
    async () => {
      const tried = await call('POST', '/api/auth/login', { body: { email, password } });
      return tried.status === 200 && tried;
    },
    { deadlineMs: 30_000 },
  );
  return {
    email,
    sessionId: String(answer.body['session_id']),
    token: String(answer.body['access_token']),
    refreshToken: String(answer.body['refresh_token']),
  };
}

const refresh = (refreshToken: string, key?: string, through: Call = call) =>
  through('POST', '/api/auth/refresh', {
    body: { refresh_token: refreshToken },
    ...(key === undefined ? {} : { headers: { 'idempotency-key': key } }),
  });

/** Tries until identity answers: 503 says nothing about what it would have decided. */
const decided = (ask: () => Promise<Answer>) =>
  eventually(
    async () => {
      const answer = await ask();
      return answer.status !== 503 && answer;
    },
    { deadlineMs: 60_000 },
  );

async function sessionRow(sessionId: string): Promise<{ generation: number; reason: string | null }> {
  const sql = 'SELECT generation, revoked_reason AS reason FROM identity.session WHERE id = $1';
  const { rows } = await owner.query<{ generation: number; reason: string | null }>(sql, [sessionId]);
  if (rows[0] === undefined) throw new Error('no such session');
  return rows[0];
}

async function eventTypes(sessionId: string): Promise<string[]> {
  const sql = `SELECT type FROM identity.outbox WHERE convert_from(entry, 'UTF8')::jsonb #>> '{resource,id}' = $1 ORDER BY id`;
  return (await owner.query<{ type: string }>(sql, [sessionId])).rows.map(({ type }) => type);
}

/** Calls of a subject that each process has served so far. */
const served = (subject: string) =>
  replicas.map((name) => {
    const lines = system.logs(name).filter((line) => line.includes('rpc.served') && line.includes(subject));
    return lines.length;
  });

describe('two processes of identity on one database', () => {
  test('200 uses of one refresh token, split over both, are one rotation, and the family is dead', async () => {
    const { sessionId, refreshToken, token } = await signIn();
    const before = served('identity.session.refresh.v1');
    const answers = await Promise.all(Array.from({ length: 200 }, () => refresh(refreshToken)));
    const won = answers.filter(({ status }) => status === 200);
    expect(won.length).toBeLessThanOrEqual(1);
    expect(new Set(answers.map(({ status }) => status))).not.toContain(500);
    expect((await decided(() => refresh(refreshToken))).status).toBe(401);
    expect(await sessionRow(sessionId)).toEqual({ generation: 1, reason: 'reuse' });
    expect(await eventTypes(sessionId)).toEqual([
      'identity.login.succeeded.v1',
      'identity.session.refreshed.v1',
      'identity.session.reuse_detected.v1',
    ]);
    for (const winner of won) {
      expect((await decided(() => refresh(String(winner.body['refresh_token'])))).status).toBe(401);
      const access = String(winner.body['access_token']);
      expect((await decided(() => call('GET', '/api/auth/me', { token: access }))).status).toBe(401);
    }
    expect((await decided(() => call('GET', '/api/auth/me', { token }))).status).toBe(401);
    served('identity.session.refresh.v1').forEach((count, i) => expect(count).toBeGreaterThan(before[i] ?? 0));
  }, 120_000);

  test('failed sign-ins are counted together: five are compared, whichever process they reach', async () => {
    const { email } = await newUser();
    const before = served('identity.session.login.v1');
    const attempt = (tried: string) => call('POST', '/api/auth/login', { body: { email, password: tried } });
    const answers = await Promise.all(Array.from({ length: 40 }, () => attempt('surely-not-this-one')));
    expect(answers.filter(({ status }) => status === 401).length).toBeLessThanOrEqual(5);
    const statuses = new Set(answers.map(({ status }) => status));
    for (const status of statuses) expect([401, 429, 503]).toContain(status);
    expect(statuses).toContain(429);
    // The right password is refused by both.
    for (let i = 0; i < 10; i++) expect((await decided(() => attempt(password))).status).toBe(429);
    served('identity.session.login.v1').forEach((count, i) => expect(count).toBeGreaterThan(before[i] ?? 0));
  }, 120_000);

  test('of twelve sign-ins at once three sessions are left, and each other one is ended and recorded once', async () => {
    const { id, email } = await newUser();
    const before = served('identity.session.login.v1');
    const signingIn = () => call('POST', '/api/auth/login', { body: { email, password } });
    const opened = await Promise.all(
      Array.from({ length: 12 }, () =>
        eventually(
          async () => {
            const answer = await signingIn();
            expect([200, 429, 503]).toContain(answer.status);
            // Right passwords lock nothing, however many come at once.
            if (answer.status === 429) expect(answer.body['code']).toBe('rate_limited');
            return answer.status === 200 && String(answer.body['session_id']);
          },
          { deadlineMs: 30_000, intervalMs: 200 },
        ),
      ),
    );
    const sql = 'SELECT id, revoked_reason AS reason FROM identity.session WHERE account_id = $1';
    const { rows } = await owner.query<{ id: string; reason: string | null }>(sql, [id]);
    expect(rows.filter(({ reason }) => reason === null)).toHaveLength(3);
    const ended = rows.filter(({ reason }) => reason !== null);
    expect(ended.length).toBeGreaterThanOrEqual(opened.length - 3);
    for (const session of ended) {
      expect(session.reason).toBe('session_cap');
      expect((await eventTypes(session.id)).filter((type) => type.includes('revoked'))).toHaveLength(1);
    }
    served('identity.session.login.v1').forEach((count, i) => expect(count).toBeGreaterThan(before[i] ?? 0));
  }, 120_000);

  test('a logout holds at every gateway once either of them has answered it', async () => {
    const second = await startExtraGateway(system);
    try {
      const ends = served('identity.session.revoke.v1');
      const gateways = [call, restClient(second.url)];
      for (let round = 0; round < 12; round++) {
        const { token } = await signIn();
        const me = (through: Call) => decided(() => through('GET', '/api/auth/me', { token }));
        for (const through of gateways) expect((await me(through)).status).toBe(200);
        const [one = call, other = call] = round % 2 === 0 ? gateways : gateways.toReversed();
        const logout = await decided(() => one('POST', '/api/auth/logout', { token }));
        // Repeated after a 503, it may find its own work done.
        expect([204, 401]).toContain(logout.status);
        for (const through of [other, one]) expect((await me(through)).status).toBe(401);
      }
      served('identity.session.revoke.v1').forEach((count, i) => expect(count).toBeGreaterThan(ends[i] ?? 0));
    } finally {
      await second.stop();
    }
  }, 120_000);

  test('a key that one of them begins to rotate is signed with by both', async () => {
    const { kid } = await bus.call('identity.key.rotate.v1', {}, serviceContext('gateway'));
    const { email } = await newUser();
    const signers = new Set<string>();
    await eventually(
      async () => {
        const answer = await call('POST', '/api/auth/login', { body: { email, password } });
        if (answer.status !== 200) return false;
        const [header = ''] = String(answer.body['access_token']).split('.');
        const used = JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid: string };
        const signer = replicas.find((name) => system.logs(name).some((line) => line.includes(answer.correlationId)));
        if (used.kid === kid && signer !== undefined) signers.add(signer);
        return signers.size === replicas.length;
      },
      { deadlineMs: 60_000, intervalMs: 20 },
    );
  }, 120_000);
});

/** Until both processes answer, whatever has become of them before. */
async function bothServe(): Promise<void> {
  const subject = 'identity.key.status.v1';
  const before = served(subject);
  await eventually(
    async () => {
      await bus.call(subject, {}, serviceContext('gateway'));
      return served(subject).every((count, i) => count > (before[i] ?? 0));
    },
    { deadlineMs: 60_000 },
  );
}

/** Ends both processes as a power cut would; the launcher starts them again. */
const killBoth = () => Promise.all(replicas.map((name) => system.service(name).kill('SIGKILL')));

async function waitingOn(event: string): Promise<boolean> {
  const sql = `SELECT FROM pg_stat_activity WHERE usename = 'identity' AND wait_event_type = $1`;
  return (await owner.query(sql, [event])).rowCount !== 0;
}

describe('identity is killed in the middle of a refresh', () => {
  test.each([
    ['with its Idempotency-Key', 'retry-after-a-crash'],
    ['without a key', undefined],
  ])(
    'before the commit: nothing has happened, and the retry %s is the one rotation',
    async (_how, key) => {
      await bothServe();
      const { sessionId, refreshToken } = await signIn();
      const lost = await holding('session', sessionId, async () => {
        const asked = refresh(refreshToken, key);
        await eventually(() => waitingOn('Lock'), { deadlineMs: 10_000, intervalMs: 10 });
        await killBoth();
        return asked;
      });
      expect(lost.status).toBe(503);
      expect(await sessionRow(sessionId)).toEqual({ generation: 0, reason: null });
      const retry = await decided(() => refresh(refreshToken, key ?? undefined));
      expect(retry.status).toBe(200);
      expect(await sessionRow(sessionId)).toEqual({ generation: 1, reason: null });
      expect((await eventTypes(sessionId)).filter((type) => type.includes('refreshed'))).toHaveLength(1);
    },
    120_000,
  );

  test.each([
    ['with its Idempotency-Key gets the one successor', 'retry-after-a-crash', 200],
    ['without a key is reuse, and the family ends', undefined, 401],
  ])(
    'after the commit, before the answer: the retry %s',
    async (_how, key, status) => {
      await bothServe();
      const { sessionId, refreshToken, token } = await signIn();
      const lost = await committingWithoutWord(async () => {
        const asked = refresh(refreshToken, key);
        await eventually(() => waitingOn('IPC'), { deadlineMs: 10_000, intervalMs: 10 });
        await killBoth();
        return asked;
      });
      expect(lost.status).toBe(503);
      await eventually(async () => (await sessionRow(sessionId)).generation === 1, { deadlineMs: 10_000 });
      const retry = await decided(() => refresh(refreshToken, key));
      expect(retry.status).toBe(status);
      expect((await eventTypes(sessionId)).filter((type) => type.includes('refreshed'))).toHaveLength(1);
      expect(await sessionRow(sessionId)).toEqual({ generation: 1, reason: status === 200 ? null : 'reuse' });
      if (status === 200) {
        expect((await decided(() => refresh(String(retry.body['refresh_token'])))).status).toBe(200);
        expect((await sessionRow(sessionId)).generation).toBe(2);
      } else {
        expect((await decided(() => call('GET', '/api/auth/me', { token }))).status).toBe(401);
      }
    },
    120_000,
  );
});

describe('identity is killed between the comparison of a password and its answer', () => {
  test('five sign-ins that never ended lock nobody out: a short wait, and the account signs in again', async () => {
    await bothServe();
    const { id, email } = await newUser();
    const signingIn = () => call('POST', '/api/auth/login', { body: { email, password } });
    const charged = `SELECT lane FROM identity.login_lane WHERE kind = 'stranger' AND cardinality(charges) = 5`;
    const { lost, lane } = await holding('account', id, async () => {
      const asked = Array.from({ length: 5 }, signingIn);
      const { rows } = await eventually(
        async () => {
          const found = await owner.query<{ lane: Buffer }>(charged);
          return found.rowCount === 1 && found;
        },
        { deadlineMs: 10_000, intervalMs: 5 },
      );
      await killBoth();
      return { lost: await Promise.all(asked), lane: rows[0]?.lane };
    });
    for (const { status } of lost) expect(status).toBe(503);
    await eventually(
      async () => {
        const answer = await signingIn();
        expect([200, 429, 503]).toContain(answer.status);
        if (answer.status === 429)
          expect([answer.body['code'], answer.headers.get('retry-after')]).toEqual(['rate_limited', '1']);
        return answer.status === 200;
      },
      { deadlineMs: 60_000, intervalMs: 200 },
    );
    const sql = 'SELECT failures, lock_count FROM identity.login_lane WHERE lane = $1';
    expect((await owner.query(sql, [lane])).rows).toEqual([{ failures: 0, lock_count: 0 }]);
  }, 120_000);
});

/** While `work` runs, nobody else can change the row: whoever needs it stands still inside its transaction. */
async function holding<T>(table: 'session' | 'account', id: string, work: () => Promise<T>): Promise<T> {
  await owner.query('BEGIN');
  try {
    await owner.query(`SELECT FROM identity.${table} WHERE id = $1 FOR UPDATE`, [id]);
    return await work();
  } finally {
    await owner.query('ROLLBACK');
  }
}

/**
 * While `work` runs, transactions that change a session are durable and their COMMIT is not answered: they wait for a
 * standby that does not exist, as with a synchronous replica that has just been lost. All others go on.
 */
async function committingWithoutWord<T>(work: () => Promise<T>): Promise<T> {
  const configure = async (setting: string) => {
    await owner.query(`ALTER SYSTEM ${setting}`);
    await owner.query('SELECT pg_reload_conf()');
  };
  await owner.query(`SET synchronous_commit = 'local'`);
  await configure(`SET synchronous_commit = 'local'`);
  await owner.query(`
    CREATE FUNCTION identity.await_standby() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM set_config('synchronous_commit', 'on', true); RETURN NEW; END $$;
    CREATE TRIGGER await_standby BEFORE UPDATE ON identity.session
      FOR EACH ROW EXECUTE FUNCTION identity.await_standby()`);
  await configure(`SET synchronous_standby_names = 'nobody'`);
  try {
    return await work();
  } finally {
    await configure('RESET synchronous_standby_names');
    await configure('RESET synchronous_commit');
    await owner.query('DROP TRIGGER await_standby ON identity.session; DROP FUNCTION identity.await_standby()');
  }
}

describe('a gateway does not acknowledge the end of a family', () => {
  test('the revocation is committed although the first answer is 503, and the retry says 401', async () => {
    const silent = await startExtraGateway(system);
    try {
      const { sessionId, refreshToken, token } = await signIn();
      expect((await restClient(silent.url)('GET', '/api/auth/me', { token })).status).toBe(200);
      const successor = await refresh(refreshToken);
      expect(successor.status).toBe(200);
      const access = String(successor.body['access_token']);
      silent.signal('SIGSTOP');
      const reuse = await refresh(refreshToken);
      // Which of the two depends on how much of its lease the silent one had left; committed it is in either case.
      expect([401, 503]).toContain(reuse.status);
      expect((await sessionRow(sessionId)).reason).toBe('reuse');
      const retry = await decided(() => refresh(refreshToken));
      expect([retry.status, retry.body['code']]).toEqual([401, 'invalid_grant']);
      expect((await call('GET', '/api/auth/me', { token: access })).status).toBe(401);
      expect((await eventTypes(sessionId)).filter((type) => type.includes('reuse'))).toHaveLength(1);
      silent.signal('SIGCONT');
      expect((await decided(() => restClient(silent.url)('GET', '/api/auth/me', { token: access }))).status).toBe(401);
    } finally {
      await silent.stop();
    }
  }, 120_000);
});
