import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { RunningSystem } from '@prime-nest/devstack/start-system';
import { eventually } from '@prime-nest/testkit/eventually';
import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';
import { type ExtraGateway, startExtraGateway } from './extra-gateway.js';
import { type Call, restClient } from './rest-client.js';
import { startTestSystem } from './test-system.js';

/** More of them prove more: REVOCATION_PROVE_ROUNDS=1000. */
const rounds = Number(process.env['REVOCATION_PROVE_ROUNDS'] ?? 200);
const gatewayCount = 3;
const workers = 8;

let system: RunningSystem;
let stop: () => Promise<void>;
let owner: pg.Client;
let gateways: ExtraGateway[] = [];
let clients: Call[] = [];
let restOf: Call;
let admin: string;

beforeAll(async () => {
  const started = await startTestSystem({
    env: { IDENTITY_SESSIONS_PER_ACCOUNT_MAX: '10000', LOCKOUT_MAX_ATTEMPTS: '100000' },
  });
  ({ system, stop, call: restOf, admin } = started);
  owner = new pg.Client({ connectionString: system.state.databaseUrl });
  await owner.connect();
  gateways = await Promise.all(Array.from({ length: gatewayCount }, () => startExtraGateway(system)));
  clients = gateways.map(({ url }) => restClient(url));
}, 180_000);
afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop()));
  await owner?.end();
  await stop?.();
}, 60_000);

async function signIn(): Promise<{ token: string; sessionId: string }> {
  const body = { email: system.state.adminEmail, password: (await system.adminPassword()).trim() };
  const answer = await eventually(
    async () => {
      const tried = await restOf('POST', '/api/auth/login', { body });
      return tried.status === 200 && tried;
    },
    { deadlineMs: 20_000 },
  );
  return { token: String(answer.body['access_token']), sessionId: String(answer.body['session_id']) };
}

/** Stops gateways in their tracks, and makes their way to NATS slow, at random, until told to end. */
function disturb(): () => Promise<void> {
  let isOver = false;
  const running = gateways.map(async (gateway) => {
    while (!isOver) {
      const kind = Math.random();
      if (kind < 0.2) {
        gateway.signal('SIGSTOP');
        await wait(50 + Math.random() * (kind < 0.05 ? 2_500 : 500));
        gateway.signal('SIGCONT');
      } else if (kind < 0.7) {
        gateway.link.setDelay(20 + Math.random() * (kind < 0.25 ? 2_500 : 250));
        await wait(300 + Math.random() * 500);
        gateway.link.setDelay(0);
      }
      await wait(Math.random() * 300);
    }
  });
  return async () => {
    isOver = true;
    await Promise.all(running);
  };
}

interface Seen {
  accepted: number;
  refused: number;
  unavailable: number;
  readonly waits: number[];
}

/** Revokes sessions under disturbance and asks every gateway at once as soon as the revocation has been answered. */
async function revoke(count: number): Promise<Seen> {
  const seen: Seen = { accepted: 0, refused: 0, unavailable: 0, waits: [] };
  const sessions: { token: string }[][] = Array.from({ length: workers }, () => []);
  // One after the other: what is put under load here is their end.
  for (let i = 0; i < count; i++) sessions[i % workers]?.push(await signIn());
  const settle = disturb();
  await Promise.all(
    sessions.map(async (mine) => {
      for (const { token } of mine) {
        const startedAtMs = performance.now();
        const answer = await restOf('POST', '/api/auth/logout', { token });
        if (answer.status !== 204) continue;
        seen.waits.push(performance.now() - startedAtMs);
        await Promise.all(
          clients.map(async (call) => {
            const { status } = await call('GET', '/api/auth/me', { token, timeoutMs: 15_000 });
            if (status === 401) seen.refused++;
            else if (status === 503) seen.unavailable++;
            else seen.accepted++;
          }),
        );
      }
    }),
  );
  await settle();
  await eventually(
    async () => {
      const answers = await Promise.all(clients.map((call) => call('GET', '/api/auth/me', { token: admin })));
      return answers.every(({ status }) => status === 200);
    },
    { deadlineMs: 20_000 },
  );
  return seen;
}

const told = (name: string, { waits, ...counts }: Seen) => {
  const sorted = waits.toSorted((a, b) => a - b);
  const [median, longest] = [sorted[Math.floor(sorted.length / 2)] ?? 0, sorted.at(-1) ?? 0];
  const line = `${name}: ${waits.length} revocations, ${JSON.stringify(counts)}, answered after ${median.toFixed(0)} ms (longest ${longest.toFixed(0)} ms)\n`;
  process.stderr.write(line);
};

describe('when a logout has been answered', () => {
  test('no gateway accepts the token any more, while gateways stand still and hear late', async () => {
    const seen = await revoke(rounds);
    told('strict', seen);
    expect(seen.accepted).toBe(0);
    expect(seen.waits.length).toBeGreaterThanOrEqual(rounds * 0.95);
    expect(seen.refused).toBeGreaterThan(0);
  }, 300_000);

  test('control: with leases that identity does not see, the same gateways accept revoked tokens', async () => {
    await owner.query(`
      CREATE FUNCTION identity.unseen() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.lease_until := '-infinity'; RETURN NEW; END $$;
      CREATE TRIGGER unseen BEFORE INSERT OR UPDATE ON identity.gateway_member
        FOR EACH ROW EXECUTE FUNCTION identity.unseen();
      UPDATE identity.gateway_member SET lease_until = '-infinity'`);
    try {
      const seen = await revoke(Math.min(rounds, 80));
      told('control', seen);
      expect(seen.accepted).toBeGreaterThan(0);
    } finally {
      await owner.query('DROP TRIGGER unseen ON identity.gateway_member; DROP FUNCTION identity.unseen()');
    }
  }, 300_000);

  test('a gateway that was killed holds later revocations up for one lease at most, and never again', async () => {
    const [killed] = gateways;
    const { token } = await signIn();
    const next = await signIn();
    await killed?.stop();
    gateways = gateways.slice(1);
    clients = clients.slice(1);
    expect((await restOf('POST', '/api/auth/logout', { token, timeoutMs: 5_000 })).status).toBe(204);
    await eventually(async () => {
      const { rows } = await owner.query<{ live: string }>(
        'SELECT count(*) AS live FROM identity.gateway_member WHERE lease_until > clock_timestamp()',
      );
      return Number(rows[0]?.live) === gateways.length + 1;
    });
    expect((await restOf('POST', '/api/auth/logout', { token: next.token, timeoutMs: 1_500 })).status).toBe(204);
  }, 60_000);
});

describe('restarts', () => {
  test('a session that was revoked stays revoked when identity and the gateway start again', async () => {
    const before = await Promise.all(Array.from({ length: 5 }, () => signIn()));
    const kept = await signIn();
    for (const { token } of before) await restOf('POST', '/api/auth/logout', { token });
    await system.service('identity').kill('SIGKILL');
    await system.service('gateway').kill('SIGKILL');
    const statuses = async (token: string) => (await restOf('GET', '/api/auth/me', { token })).status;
    await eventually(async () => (await statuses(kept.token).catch(() => 0)) === 200, { deadlineMs: 60_000 });
    expect(await Promise.all(before.map(({ token }) => statuses(token)))).toEqual(before.map(() => 401));
  }, 120_000);

  test('a user who is deactivated while a gateway starts is refused by it from its first answer on', async () => {
    const email = `${randomUUID()}@example.com`;
    const password = 'never restarted twice 1';
    const created = await restOf('POST', '/api/users', { token: admin, body: { email, name: 'Gone', password } });
    const login = await restOf('POST', '/api/auth/login', { body: { email, password } });
    const token = String(login.body['access_token']);
    const starting = startExtraGateway(system);
    const path = `/api/users/${String(created.body['id'])}`;
    const answer = await restOf('PATCH', path, { token: admin, body: { isActive: false } });
    expect(answer.status).toBe(200);
    const gateway = await starting;
    gateways.push(gateway);
    expect((await restClient(gateway.url)('GET', '/api/auth/me', { token })).status).toBe(401);
  }, 60_000);
});
