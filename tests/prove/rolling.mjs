/**
 * Proof by rolling restart: three gateways, two of each service, keep-alive clients that go round the gateways which say
 * that they are ready, as a balancer does. Every process is told to end (SIGTERM) and started again, one after the other.
 * No request may fail: no 5xx, no reset, no answer cut short. The control kills the same processes instead.
 *
 *     npm run prove:rolling
 */
import { Agent, request } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { buildIfNeeded } from '../../scripts/build-if-needed.mjs';
import { createReport } from '../../scripts/prove/report.mjs';

buildIfNeeded();
const { startSystem } = await import('@prime-nest/devstack/start-system');

const services = [
  'gateway-1',
  'gateway-2',
  'gateway-3',
  'identity-1',
  'identity-2',
  'rbac-1',
  'rbac-2',
  'audit-1',
  'audit-2',
];
const callers = 12;
const probeEveryMs = 50;
const home = await mkdtemp(path.join(tmpdir(), 'prime-nest-rolling-'));
const system = await startSystem({
  home,
  replicas: { gateway: 3, identity: 2, rbac: 2, audit: 2 },
  env: { RATE_LIMIT_ANONYMOUS_MAX: '1000000', RATE_LIMIT_PRINCIPAL_MAX: '10000000', LOG_LEVEL: 'warn' },
});
const report = createReport();
try {
  await prove();
} finally {
  await system.stop();
  await rm(home, { recursive: true, force: true });
}
process.exit(report.finish());

function ask({ port, agent, method = 'GET', address, token, body }) {
  return new Promise((resolve) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    };
    const call = request(
      { host: '127.0.0.1', port, path: address, method, agent, headers, timeout: 10_000 },
      (answer) => {
        const chunks = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('error', () => resolve({ outcome: 'cut short' }));
        answer.on('end', () => {
          const outcome = answer.complete ? String(answer.statusCode) : 'cut short';
          resolve({ outcome, text: Buffer.concat(chunks).toString('utf8') });
        });
      },
    );
    // Refused before a byte was sent: a balancer takes the next one.
    call.on('error', (error) =>
      resolve({ outcome: error.code === 'ECONNREFUSED' ? 'refused' : (error.code ?? 'error') }),
    );
    call.on('timeout', () => call.destroy(new Error('no answer')));
    call.end(text);
  });
}

async function prove() {
  const gateways = ['gateway-1', 'gateway-2', 'gateway-3'].map((name) => ({
    name,
    port: Number(new URL(system.state.health[name]).port),
    isReady: true,
  }));
  const email = system.state.adminEmail;
  const password = (await system.adminPassword()).trim();
  const logIn = async (port) =>
    JSON.parse((await ask({ port, method: 'POST', address: '/api/auth/login', body: { email, password } })).text)
      .access_token;
  const token = await logIn(gateways[0].port);

  let phase = 'before';
  let isOver = false;
  const seen = new Map();
  const count = (outcome, kind) => {
    const found = seen.get(phase) ?? { requests: 0, failures: new Map() };
    seen.set(phase, found);
    found.requests += 1;
    const isGood = /^20\d$/.test(outcome);
    if (!isGood) found.failures.set(`${kind} ${outcome}`, (found.failures.get(`${kind} ${outcome}`) ?? 0) + 1);
  };
  const watch = async () => {
    const agent = new Agent({ keepAlive: false });
    while (!isOver) {
      await Promise.all(
        gateways.map(async (gateway) => {
          gateway.isReady = (await ask({ port: gateway.port, agent, address: '/health/readiness' })).outcome === '200';
        }),
      );
      await pause(probeEveryMs);
    }
  };
  let turn = 0;
  const caller = async (number) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const kinds = [
      { kind: 'read', address: '/api/roles?limit=5' },
      { kind: 'me', address: '/api/auth/me' },
      { kind: 'search', address: '/api/audit/events?limit=1' },
      { kind: 'read', address: '/api/users?limit=5' },
      {
        kind: 'mutation',
        method: 'POST',
        address: '/api/roles',
        body: () => ({ name: `r ${number} ${performance.now()}` }),
      },
    ];
    for (let i = 0; !isOver; i++) {
      const { kind, body, ...rest } = kinds[(i + number) % kinds.length];
      for (;;) {
        const ready = gateways.filter(({ isReady }) => isReady);
        const { port } = (ready.length === 0 ? gateways : ready)[turn++ % (ready.length || gateways.length)];
        const { outcome } = await ask({ port, agent, token, ...rest, ...(body === undefined ? {} : { body: body() }) });
        if (outcome === 'refused' && !isOver) continue;
        count(outcome, kind);
        break;
      }
      await pause(20);
    }
    agent.destroy();
  };

  const running = [watch(), ...Array.from({ length: callers }, (_, number) => caller(number))];
  await pause(2_000);
  for (const name of services) {
    phase = name;
    const startedAt = performance.now();
    await system.service(name).restart();
    await pause(500);
    tell(name, startedAt);
  }
  phase = 'control';
  for (const name of ['gateway-1', 'identity-1', 'rbac-1']) {
    await system.service(name).kill('SIGKILL');
    await pause(2_500);
  }
  isOver = true;
  await Promise.all(running);

  const control = failuresOf('control');
  for (const name of services) {
    const { requests = 0 } = seen.get(name) ?? {};
    const failed = failuresOf(name);
    report.add(`${name} is restarted under load and no request fails`, {
      figure: `${requests} requests, ${failed.total} failed${failed.text}`,
      control: `killed instead, gateway-1, identity-1 and rbac-1: ${control.total} of ${seen.get('control')?.requests ?? 0} failed`,
      isProven: requests > 0 && failed.total === 0 && control.total > 0,
    });
  }

  function failuresOf(name) {
    const failures = [...(seen.get(name)?.failures ?? [])];
    const total = failures.reduce((sum, [, times]) => sum + times, 0);
    return { total, text: total === 0 ? '' : `: ${failures.map(([what, times]) => `${what} × ${times}`).join(', ')}` };
  }
  function tell(name, startedAt) {
    const failed = failuresOf(name);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    console.log(
      `${name.padEnd(11)} ${seconds} s  ${seen.get(name)?.requests ?? 0} requests, ${failed.total} failed${failed.text}`,
    );
  }
}
