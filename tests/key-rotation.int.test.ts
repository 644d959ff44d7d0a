import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { RunningSystem } from '@prime-nest/devstack/start-system';
import { identityRpc } from '@prime-nest/contracts/identity';
import { createBusClient, type BusClient } from '@prime-nest/kit/bus/client';
import { connectBus } from '@prime-nest/kit/bus/connection';
import { serviceContext } from '@prime-nest/kit/context';
import { silentLogger } from '@prime-nest/kit/log';
import { eventually } from '@prime-nest/testkit/eventually';
import { type ExtraGateway, startExtraGateway } from './extra-gateway.js';
import { type Answer, type Call, restClient } from './rest-client.js';
import { startTestSystem } from './test-system.js';

const rotations = Number(process.env['ROTATION_PROVE_ROUNDS'] ?? 20);

let system: RunningSystem;
let call: Call;
let stop: () => Promise<void>;
let bus: BusClient<typeof identityRpc>;
let disconnect: () => Promise<void>;

beforeAll(async () => {
  ({ system, call, stop } = await startTestSystem({
    env: { IDENTITY_KEY_LEAD_SECONDS: '1', LOCKOUT_MAX_ATTEMPTS: '100000', IDENTITY_SESSIONS_PER_ACCOUNT_MAX: '1000' },
  }));
  const connection = await connectBus({ ...system.busCredentials('gateway'), log: silentLogger() });
  bus = createBusClient({ connection, contracts: identityRpc, log: silentLogger() });
  disconnect = () => connection.close();
}, 180_000);
afterAll(async () => {
  await disconnect?.();
  await stop?.();
}, 60_000);

async function signIn(): Promise<Answer> {
  const body = { email: system.state.adminEmail, password: (await system.adminPassword()).trim() };
  return call('POST', '/api/auth/login', { body });
}

const tokenOf = (answer: Answer) => String(answer.body['access_token']);
const refreshTokenOf = (answer: Answer) => String(answer.body['refresh_token']);
const kidOf = (token: string) =>
  (JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as { kid: string }).kid;

describe('the signing key is rotated while requests run', () => {
  test(`${rotations} rotations: not one request fails, and tokens of every key are in use`, async () => {
    let isOver = false;
    const kids = new Set<string>();
    const failed: string[] = [];
    let served = 0;
    const client = async () => {
      let tokens = await signIn();
      const longLived = tokenOf(tokens);
      while (!isOver) {
        kids.add(kidOf(tokenOf(tokens)));
        const answers = [
          await call('GET', '/api/auth/me', { token: tokenOf(tokens) }),
          await call('GET', '/api/auth/me', { token: longLived }),
          await call('POST', '/api/auth/refresh', { body: { refresh_token: refreshTokenOf(tokens) } }),
        ];
        for (const { status, body } of answers) {
          if (status === 200) served++;
          else failed.push(`${status} ${String(body['code'])}`);
        }
        tokens = answers[2]?.status === 200 ? answers[2] : await signIn();
      }
    };
    const clients = [client(), client()];
    const context = serviceContext('gateway');
    for (let i = 0; i < rotations; i++) {
      const { kid } = await bus.call('identity.key.rotate.v1', {}, context);
      await eventually(
        async () => {
          const { keys } = await bus.call('identity.key.status.v1', {}, context);
          return keys.find((key) => key.kid === kid)?.state === 'active' && kids.has(kid);
        },
        { deadlineMs: 30_000, intervalMs: 50 },
      );
    }
    isOver = true;
    await Promise.all(clients);
    process.stderr.write(
      `rotations: ${rotations}, keys seen: ${kids.size}, served: ${served}, failed: ${failed.length}\n`,
    );
    expect(failed).toEqual([]);
    expect(kids.size).toBe(rotations + 1);
  }, 600_000);
});

describe('the answer to a refresh is lost between identity and the gateway', () => {
  let gateway: ExtraGateway;
  beforeAll(async () => {
    gateway = await startExtraGateway(system);
  }, 120_000);
  afterAll(() => gateway?.stop());

  // Each loss takes the deadline of the call, and what the link holds back delays the first retry as well.
  test("the client's retry with the same Idempotency-Key gets the successor, and one without ends the session", async () => {
    const through = restClient(gateway.url);
    for (const isSame of [true, false]) {
      const tokens = await signIn();
      const refresh = (key: string) =>
        through('POST', '/api/auth/refresh', {
          body: { refresh_token: refreshTokenOf(tokens) },
          headers: { 'idempotency-key': key },
        });
      gateway.link.setDelay(2_500);
      expect((await refresh('retry-of-one-refresh')).status).toBe(503);
      gateway.link.setDelay(0);
      const retry = await eventually(
        async () => {
          const answer = await refresh(isSame ? 'retry-of-one-refresh' : 'another-request');
          return answer.status !== 503 && answer;
        },
        { deadlineMs: 30_000 },
      );
      expect(retry.status).toBe(isSame ? 200 : 401);
      if (!isSame) continue;
      expect((await call('GET', '/api/auth/me', { token: tokenOf(retry) })).status).toBe(200);
      const next = { body: { refresh_token: refreshTokenOf(retry) } };
      expect((await call('POST', '/api/auth/refresh', next)).status).toBe(200);
    }
  }, 60_000);
});
