/**
 * Mixed traffic for minutes: memory, handles and latency of every service must stay flat, and no answer may be one
 * that the caller did not earn. `npm run soak -- [--minutes 10] [--seed N]`; exit code 1 when something grows.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { buildIfNeeded } from '../../scripts/build-if-needed.mjs';
import { restClient } from '../rest-client.ts';
import { judgeFlatness } from './flatness.mjs';
import { numberOption } from '../../scripts/arguments.mjs';
import { median } from '../../scripts/statistics.mjs';

buildIfNeeded();
const { startSystem } = await import('@prime-nest/devstack/start-system');

const minutes = numberOption('minutes', 10);
const sampleMs = Math.max(1_000, Math.round((minutes * 60_000) / 60));
const gauges = {
  'heap, MB': {
    metric: 'nodejs_heap_size_used_bytes',
    unit: 1 / 1_048_576,
    allowed: { share: 0.15, slack: 6, isSawtooth: true },
  },
  'resident, MB': { metric: 'process_resident_memory_bytes', unit: 1 / 1_048_576, allowed: { share: 0.15, slack: 16 } },
  'open files': { metric: 'process_open_fds', unit: 1, allowed: { share: 0.1, slack: 8 } },
  'active resources': { metric: 'nodejs_active_resources_total', unit: 1, allowed: { share: 0.1, slack: 12 } },
};

const home = await mkdtemp(path.join(tmpdir(), 'prime-nest-soak-'));
const system = await startSystem({
  home,
  env: { RATE_LIMIT_ANONYMOUS_MAX: '1000000', RATE_LIMIT_PRINCIPAL_MAX: '10000000', LOG_LEVEL: 'warn' },
});
const rest = restClient(system.gatewayUrl);
const latencies = [];
const answers = new Map();
const surprises = [];
let isRunning = true;

/** One call; `expected` are the statuses that this caller has earned. */
async function call(expected, method, route, options) {
  const startedAt = performance.now();
  const { status, body } = await rest(method, `/api${route}`, options);
  if (method === 'GET') latencies.push({ at: startedAt, tookMs: performance.now() - startedAt });
  answers.set(status, (answers.get(status) ?? 0) + 1);
  if (!expected.includes(status)) {
    surprises.push(`${method} ${route.replace(/[0-9a-f-]{36}/g, '{id}')} answered ${status}`);
  }
  return body;
}

const logIn = (email, password) => call([200], 'POST', '/auth/login', { body: { email, password } });

/** An administrator who makes a role, gives it to somebody, takes it away and deletes it. */
async function administrate(adminEmail, adminPassword, principalId) {
  let session = await logIn(adminEmail, adminPassword);
  for (let round = 1; isRunning; round++) {
    const token = session.access_token;
    const role = await call([201], 'POST', '/roles', { token, body: { name: `soak-${randomUUID()}` } });
    await call([200], 'PUT', `/users/${principalId}/roles`, { token, body: { roleIds: [role.id] } });
    await call([200], 'PUT', `/users/${principalId}/roles`, { token, body: { roleIds: [] } });
    await call([200, 204], 'DELETE', `/roles/${role.id}`, { token });
    await call([200], 'GET', '/audit/events?limit=10', { token });
    if (round % 50 === 0) session = await logIn(adminEmail, adminPassword);
    await pause(100);
  }
}

/** A user who reads what he may, is refused what he may not, and keeps his session alive by rotation. */
async function use(email, password) {
  while (isRunning) {
    let { access_token: token, refresh_token: refresh } = await logIn(email, password);
    for (let round = 1; isRunning && round <= 100; round++) {
      await call([200], 'GET', '/auth/me', { token });
      await call([403], 'GET', '/users?limit=5', { token });
      await call([401], 'GET', '/auth/me', { token: 'not.a.token' });
      if (round % 5 === 0) {
        const next = await call([200], 'POST', '/auth/refresh', { body: { refresh_token: refresh } });
        ({ access_token: token, refresh_token: refresh } = next);
      }
      await pause(20);
    }
    await call([200, 204], 'POST', '/auth/logout', { token });
  }
}

async function sample(series) {
  for (const [service, url] of Object.entries(system.state.metrics)) {
    const text = await (await fetch(url)).text();
    for (const [name, { metric, unit }] of Object.entries(gauges)) {
      const value = Number(new RegExp(`^${metric}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1]);
      const key = `${service} ${name}`;
      series.set(key, [...(series.get(key) ?? []), value * unit]);
    }
  }
}

async function soak() {
  const adminPassword = (await system.adminPassword()).trim();
  const { adminEmail } = system.state;
  const { access_token: token } = await logIn(adminEmail, adminPassword);
  const users = [];
  for (let i = 0; i < 4; i++) {
    const [email, password] = [`soak-${i}@example.com`, `a long passphrase ${randomUUID()}`];
    const { id } = await call([201], 'POST', '/users', { token, body: { email, name: `Soak ${i}`, password } });
    users.push({ id, email, password });
  }
  const series = new Map();
  const traffic = [
    ...users.map(({ email, password }) => use(email, password)),
    administrate(adminEmail, adminPassword, users[0].id),
  ];
  const end = performance.now() + minutes * 60_000;
  const sampling = (async () => {
    while (performance.now() < end) {
      await pause(sampleMs);
      await sample(series);
    }
    isRunning = false;
  })();
  await Promise.all([sampling, ...traffic]);
  return series;
}

function report(series) {
  const rows = [...series].map(([name, values]) => {
    const [service, ...gauge] = name.split(' ');
    return { name, ...judgeFlatness(values, gauges[gauge.join(' ')].allowed), service };
  });
  const from = latencies[0].at;
  const slots = Array.from({ length: 30 }, () => []);
  const slotMs = (minutes * 60_000) / slots.length;
  for (const { at, tookMs } of latencies) slots[Math.min(29, Math.floor((at - from) / slotMs))].push(tookMs);
  const filled = slots.filter((slot) => slot.length > 0).map((slot) => median(slot));
  rows.push({ name: 'GET p50, ms', ...judgeFlatness(filled, { share: 0.5, slack: 2 }) });
  const width = Math.max(...rows.map(({ name }) => name.length));
  console.log(`${'series'.padEnd(width)}     first      last  verdict`);
  for (const { name, first, last, isFlat } of rows) {
    const cells = [first, last].map((value) => value.toFixed(1).padStart(9));
    console.log(`${name.padEnd(width)} ${cells.join(' ')}  ${isFlat ? 'flat' : 'GROWS'}`);
  }
  const leaking = Array.from({ length: 60 }, (_, i) => 60 + i);
  const isControlSeen = !judgeFlatness(leaking, gauges['heap, MB'].allowed).isFlat;
  console.log(`control, a heap that grows by 1 MB per sample: ${isControlSeen ? 'seen' : 'NOT SEEN'}`);
  console.log(`answers: ${[...answers].map(([status, count]) => `${status} ${count}`).join(', ')}`);
  for (const surprise of new Set(surprises)) {
    console.log(`unexpected, ${surprises.filter((one) => one === surprise).length} times: ${surprise}`);
  }
  return rows.every(({ isFlat }) => isFlat) && isControlSeen && surprises.length === 0;
}

let isProven;
try {
  console.log(`${minutes} minutes of mixed traffic, a sample every ${sampleMs / 1_000} s`);
  isProven = report(await soak());
} finally {
  isRunning = false;
  await system.stop();
  await rm(home, { recursive: true, force: true });
}
console.log(isProven ? 'FLAT' : 'NOT FLAT');
process.exit(isProven ? 0 : 1);
