import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { RunningSystem } from '@prime-nest/devstack/start-system';
import { eventually } from '@prime-nest/testkit/eventually';
import { openLink } from '@prime-nest/testkit/link';
import type { Link } from '@prime-nest/testkit/link';
import { randomUUID } from 'node:crypto';
import { type Call, logIn } from './rest-client.js';
import { freeze, startTestSystem } from './test-system.js';

let system: RunningSystem;
let call: Call;
let admin: string;
let denied: string;
let stop: () => Promise<void>;
let database: Link;

beforeAll(async () => {
  const databasePort = async (port: number) => {
    database = await openLink(port);
    return database.port;
  };
  ({ system, call, admin, stop } = await startTestSystem({ databasePort }));
  const email = `${randomUUID()}@example.com`;
  const password = 'never allowed anything 1';
  await call('POST', '/api/users', { token: admin, body: { email, name: 'Denied', password } });
  denied = await logIn(call, email, password);
}, 180_000);
afterAll(async () => {
  await stop?.();
  await database?.close();
}, 60_000);

const isServing = async () => (await call('GET', '/api/roles', { token: admin })).status === 200;

describe('rbac is killed while requests run', () => {
  test('answers are 200, 403 or 503, a denied user is never let in, and service returns with the process', async () => {
    const seen = new Map<string, number>();
    let isRunning = true;
    const count = (who: string, status: number) =>
      seen.set(`${who} ${status}`, (seen.get(`${who} ${status}`) ?? 0) + 1);
    const caller = async (who: string, token: string) => {
      for (let i = 0; i < 2_000 && isRunning; i++) {
        const answer = await call('GET', '/api/roles', { token, timeoutMs: 5_000 });
        count(who, answer.status);
        if (answer.status === 503) expect(answer.body['code']).toBe('unavailable');
      }
    };
    const callers = [...Array.from({ length: 4 }, () => caller('denied', denied)), caller('allowed', admin)];
    await eventually(() => (seen.get('denied 403') ?? 0) > 20);

    await system.service('rbac').kill('SIGKILL');
    await eventually(() => (seen.get('denied 503') ?? 0) > 0 && (seen.get('allowed 503') ?? 0) > 0, {
      deadlineMs: 20_000,
    });
    await eventually(isServing, { deadlineMs: 60_000 });
    const before = seen.get('denied 403') ?? 0;
    await eventually(() => (seen.get('denied 403') ?? 0) > before + 20, { deadlineMs: 20_000 });
    isRunning = false;
    await Promise.all(callers);

    expect([...seen.keys()].sort()).toEqual(['allowed 200', 'allowed 503', 'denied 403', 'denied 503']);
  }, 120_000);
});

/** Longest wait that the contract allows an outage to cost a read, with room for a busy machine. */
const boundMs = 1_500 + 1_000;

/** Each begins when it is called, and answers what ends it. */
const outages: [string, () => () => void][] = [
  ['NATS stands still', () => freeze(system, 'nats')],
  ['PostgreSQL stands still', () => freeze(system, 'postgres')],
  ['PostgreSQL is cut off by a partition', () => spoil(() => database.partition())],
  ['PostgreSQL takes five seconds for everything', () => spoil(() => database.slow(5_000))],
];
function spoil(how: () => void): () => void {
  how();
  return () => database.heal();
}

describe.each(outages)('%s', (name, begin) => {
  test('requests that need it answer 503 within the bound, nobody is let in, and work goes on afterwards', async () => {
    await eventually(isServing, { deadlineMs: 30_000 });
    const resume = begin();
    try {
      const requests = [
        () => call('GET', '/api/roles', { token: admin, timeoutMs: boundMs }),
        () => call('POST', '/api/roles', { token: admin, body: { name: `Never: ${name}` }, timeoutMs: 5_000 + 1_000 }),
        () =>
          call('POST', '/api/auth/login', {
            body: { email: system.state.adminEmail, password: 'wrong password' },
            timeoutMs: boundMs,
          }),
      ];
      const answers = await Promise.all(requests.map((request) => request()));
      expect(answers.map((answer) => answer.status)).toEqual([503, 503, 503]);
      // As long as its lease lasts, rbac may still refuse on its own knowledge; after it, nobody knows and all say so.
      await eventually(async () => {
        const { status } = await call('GET', '/api/roles', { token: denied, timeoutMs: boundMs });
        expect([403, 503]).toContain(status);
        return status === 503;
      });
    } finally {
      resume();
    }
    await eventually(isServing, { deadlineMs: 30_000 });
    await eventually(async () => (await call('GET', '/api/users', { token: denied })).status === 403, {
      deadlineMs: 30_000,
    });
    const roles = await call('GET', '/api/roles?search=Never', { token: admin });
    expect(roles.body['total']).toBe(0);
  }, 120_000);
});

describe('Redis is gone', () => {
  test('requests go on: limits become local, nothing else changes', async () => {
    await eventually(isServing, { deadlineMs: 30_000 });
    await system.server('redis').stop();
    expect((await call('GET', '/api/roles', { token: admin })).status).toBe(200);
    expect((await call('GET', '/api/roles', { token: denied })).status).toBe(403);
  }, 60_000);
});
