/**
 * What a decision costs: in process as the number of principals grows; over NATS beside a bare echo of the same
 * requests and answers, turn by turn in the same run; through the whole gateway; and how long a revocation takes until
 * all of three replicas decide by it. Ratios travel, absolute figures do not.
 *
 *     npm run bench:rbac [-- --seconds 2 --rounds 4 --dry]
 */
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request as httpRequest } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { conditions, writeSection } from '../../../bench/results.mjs';
import { buildIfNeeded } from '../../../scripts/build-if-needed.mjs';
import { numberOption } from '../../../scripts/arguments.mjs';
import { median, percentile } from '../../../scripts/statistics.mjs';

buildIfNeeded();
const { rbacRpc } = await import('@prime-nest/contracts/rbac');
const { bootstrapAdministratorId } = await import('@prime-nest/contracts/ids');
const { freePort } = await import('@prime-nest/devstack/ports');
const { startSystem } = await import('@prime-nest/devstack/start-system');
const { createBusClient } = await import('@prime-nest/kit/bus/client');
const { connectBus } = await import('@prime-nest/kit/bus/connection');
const { freshContext } = await import('@prime-nest/kit/context');
const { newId } = await import('@prime-nest/kit/ids');
const { silentLogger } = await import('@prime-nest/kit/log');
const { startTestNats } = await import('@prime-nest/testkit/nats');
const { createTestDatabase } = await import('@prime-nest/testkit/postgres');
const { startTestRun } = await import('@prime-nest/testkit/test-run');
const { connectPlain, cpuMicroseconds, load, requestOf } = await import('./nats-load.mjs');
const { measurePolicy } = await import('./policy-size.mjs');

const [seconds, rounds] = [numberOption('seconds', 2), numberOption('rounds', 4)];
const whole = (value) => Math.round(value).toLocaleString('en');
const table = (header, rows) =>
  [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

async function overNats() {
  const [nats, database] = await Promise.all([startTestNats(), createTestDatabase({ service: 'rbac' })]);
  const children = [];
  const start = async (name) => {
    const healthPort = await freePort();
    const env = {
      NODE_ENV: 'test',
      LOG_LEVEL: 'info',
      HEALTH_HOST: '127.0.0.1',
      HEALTH_PORT: String(healthPort),
      NATS_URL: nats.servers,
      NATS_NKEY_SEED: nats.seed('rbac'),
      RBAC_DB_URL: database.url,
      RBAC_DB_MIGRATION_URL: database.ownerUrl,
    };
    const file = fileURLToPath(new URL(`../dist/${name}.js`, import.meta.url));
    const child = spawn(process.execPath, [file], { env, stdio: ['ignore', 'ignore', 'inherit'] });
    const exited = once(child, 'exit');
    if (name !== 'main') return exited;
    children.push(child);
    const isReady = () =>
      fetch(`http://127.0.0.1:${healthPort}/health/readiness`).then(
        ({ ok }) => ok,
        () => false,
      );
    while (!(await isReady())) await pause(100);
    return child;
  };
  try {
    for (const name of ['migrate', 'seed']) await start(name);
    const service = await start('main');
    const decisions = await decisionsBesideEcho(nats, service, children);
    await Promise.all([start('main'), start('main')]);
    return { decisions, revocation: await revocations(nats) };
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await nats.stop();
    await database.drop();
  }
}

async function decisionsBesideEcho(nats, service, children) {
  const connection = await connectPlain(nats, 'gateway');
  const [one, many] = [requestOf(1), requestOf(50)];
  const decide = 'rbac.access.decide.v1';
  const answerTo = async (body) => (await connection.request(decide, body, { timeout: 5_000 })).string();
  const replies = [
    [one.length, await answerTo(one)],
    [many.length, await answerTo(many)],
  ];
  const echo = fork(fileURLToPath(new URL('./echo.mjs', import.meta.url)), {
    env: { NATS_URL: nats.servers, SEED: nats.seed('audit'), REPLIES: JSON.stringify(replies) },
  });
  children.push(echo);
  await once(echo, 'message');
  const bare = 'audit.event.get.v1';
  const kinds = {
    'echo, as small as one check': { subject: bare, body: one, pid: echo.pid },
    'the same, headers and JSON read': {
      subject: 'audit.event.search.v1',
      body: one,
      pid: echo.pid,
      beside: 'echo, as small as one check',
    },
    'one check': { subject: decide, body: one, pid: service.pid, beside: 'echo, as small as one check', checks: 1 },
    'echo, as large as 50 checks': { subject: bare, body: many, pid: echo.pid },
    '50 checks': { subject: decide, body: many, pid: service.pid, beside: 'echo, as large as 50 checks', checks: 50 },
  };
  const results = Object.fromEntries(Object.keys(kinds).map((name) => [name, []]));
  // Turn by turn: whatever else the machine does meets all of them. The first round warms up.
  for (let round = 0; round <= rounds; round++) {
    for (const [name, { pid, ...request }] of Object.entries(kinds)) {
      const before = cpuMicroseconds(pid);
      const result = await load(connection, { ...request, seconds });
      const cpu = (cpuMicroseconds(pid) - before) / (result.perSecond * seconds);
      if (round > 0) results[name].push({ ...result, cpu });
    }
  }
  await connection.close();
  echo.kill('SIGKILL');
  const rows = Object.entries(kinds).map(([name, { beside, checks }]) => {
    const of = (part) => median(results[name].map((result) => result[part]));
    const ratios = (beside === undefined ? [] : results[name]).map(
      ({ perSecond }, i) => perSecond / results[beside][i].perSecond,
    );
    return [
      name,
      whole(of('perSecond')),
      ratios.length === 0 ? '' : median(ratios).toFixed(2),
      checks === undefined ? '' : whole(of('perSecond') * checks),
      `${of('p50').toFixed(2)} / ${of('p99').toFixed(2)} ms`,
      `${of('cpu').toFixed(0)} µs`,
    ];
  });
  return table(['request', 'requests/s', 'of echo', 'decisions/s', 'p50 / p99', 'CPU of the answering process'], rows);
}

/** A revocation is answered when all replicas decide by it: how long that takes, and its part after the commit. */
async function revocations(nats) {
  const log = silentLogger();
  const connection = await connectBus({ ...nats.credentials('gateway'), log });
  const bus = createBusClient({ connection, contracts: rbacRpc, log });
  const administrator = freshContext({ type: 'user', id: bootstrapAdministratorId });
  const { data } = await bus.call('rbac.role.list.v1', { search: 'viewer' }, administrator);
  const principalId = newId();
  const [took, barriers] = [[], []];
  let members = 0;
  for (let i = 0; i < 220; i++) {
    const startedAt = performance.now();
    const roleIds = i % 2 === 0 ? [data[0].id] : [];
    const { effect } = await bus.call('rbac.principal.replace_roles.v1', { principalId, roleIds }, administrator);
    if (i < 20 || i % 2 === 0) continue;
    took.push(performance.now() - startedAt);
    barriers.push(effect.barrierMs);
    members = effect.acked.length;
  }
  await connection.close();
  const row = (name, values) => [
    name,
    `${percentile(values, 0.5).toFixed(1)} ms`,
    `${percentile(values, 0.99).toFixed(1)} ms`,
  ];
  return table(
    [`revocation, ${members} replicas`, 'p50', 'p99'],
    [row('asked until answered: nobody allows any more', took), row('of it after the commit', barriers)],
  );
}

async function throughGateway() {
  const home = await mkdtemp(path.join(os.tmpdir(), 'prime-nest-rbac-bench-'));
  const env = { OTEL_ENABLED: 'false', RATE_LIMIT_ANONYMOUS_MAX: '100000', RATE_LIMIT_PRINCIPAL_MAX: '1000000' };
  const system = await startSystem({ home, env });
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const post = (route, body, token) =>
    new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      if (token !== undefined) headers.authorization = `Bearer ${token}`;
      const asked = httpRequest(`${system.gatewayUrl}${route}`, { method: 'POST', agent, headers }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (part) => (text += part));
        answer.on('end', () => resolve({ status: answer.statusCode, text }));
      });
      asked.on('error', reject).end(body);
    });
  try {
    const password = (await system.adminPassword()).trim();
    const login = await post('/api/auth/login', JSON.stringify({ email: system.state.adminEmail, password }));
    const token = JSON.parse(login.text).access_token;
    const body = JSON.stringify({
      subject: { type: 'user', id: bootstrapAdministratorId },
      action: { name: 'view' },
      resource: { type: 'users', id: 'any' },
    });
    let until = performance.now() + 2_000;
    let times = [];
    const ask = async () => {
      while (performance.now() < until) {
        const startedAt = performance.now();
        const { status, text } = await post('/api/access/v1/evaluation', body, token);
        if (status !== 200 || !text.includes('true')) throw new Error(`${status} ${text}`);
        times.push(performance.now() - startedAt);
      }
    };
    for (const lasting of [2, seconds * 2]) {
      times = [];
      until = performance.now() + lasting * 1_000;
      await Promise.all(Array.from({ length: 64 }, ask));
    }
    const perSecond = times.length / (seconds * 2);
    const row = [
      'AuthZEN evaluation',
      whole(perSecond),
      whole(perSecond * 2),
      `${percentile(times, 0.5).toFixed(1)} ms`,
    ];
    return table(
      ['through the gateway', 'requests/s', 'decisions/s', 'p50', 'p99'],
      [[...row, `${percentile(times, 0.99).toFixed(1)} ms`]],
    );
  } finally {
    agent.destroy();
    await system.stop();
    await rm(home, { recursive: true, force: true });
  }
}

const sizes = [[1_000], [10_000], [100_000], [100_000, 1_000]];
const growth = sizes.map(([principals, distinctPairs]) => {
  const { decisionNs, mapNs, compileMs, changeMs, megabytes, sets } = measurePolicy(principals, distinctPairs);
  const figures = [`${whole(decisionNs)} ns`, `${whole(mapNs)} ns`, `${whole(compileMs)} ms`];
  return [whole(principals), whole(sets), ...figures, `${changeMs.toFixed(2)} ms`, `${megabytes.toFixed(1)} MB`];
});
const run = await startTestRun(() => undefined);
Object.assign(process.env, run.env);
const { decisions, revocation } = await overNats().finally(() => run.stop());
const gateway = await throughGateway();
const text = [
  '## Decisions',
  conditions('npm run bench:rbac'),
  `Over NATS: one asking process with one connection and 64 requests in flight, the same headers and sizes for both sides, log level info; medians of ${rounds} turns of ${seconds} s. The ratio is the median of neighbouring turns.`,
  decisions,
  revocation,
  'Through the gateway with 64 connections; each request is decided twice, once for the caller and once for the question. One process asks over HTTP and shares the machine with all of the system.',
  gateway,
  'In process: 1,000 roles of some 20 out of 1,000 permissions, two random roles for each principal, of which the last line has only 1,000 combinations. The questions are random, and their strings come fresh out of `JSON.parse`. For scale: what it costs only to find the same ids in a plain `Map` with as many entries.',
  table(
    ['principals', 'distinct sets of roles', 'decision', 'only the id, in a Map', 'compile', 'one change', 'memory'],
    growth,
  ),
].join('\n\n');
console.log(text);
if (!process.argv.includes('--dry')) writeSection('rbac', text);
process.exit(0);
