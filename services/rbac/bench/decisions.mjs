/**
 * What a decision costs: in process as the number of principals grows, and over NATS beside a bare echo in the same
 * run on the same machine. Ratios travel, absolute figures do not.
 *
 *     node --expose-gc services/rbac/bench/decisions.mjs [--seconds 4]
 */
import { spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { buildIfNeeded } from '../../../scripts/build-if-needed.mjs';

buildIfNeeded(['services/rbac', 'libs/testkit']);
const { bootstrapAdministratorId } = await import('@prime-nest/contracts/ids');
const { connect } = await import('@nats-io/transport-node');
const { freePort } = await import('@prime-nest/devstack/ports');
const { newId } = await import('@prime-nest/kit/ids');
const { applyDelta, compile } = await import('@prime-nest/rbac/policy/compile');
const { decide } = await import('@prime-nest/rbac/policy/decide');
const { startTestNats } = await import('@prime-nest/testkit/nats');
const { createTestDatabase } = await import('@prime-nest/testkit/postgres');
const { startTestRun } = await import('@prime-nest/testkit/test-run');

const at = process.argv.indexOf('--seconds');
const seconds = at === -1 ? 4 : Number(process.argv[at + 1]);
const below = (n) => Math.floor(Math.random() * n);
const pick = (list) => list[below(list.length)];
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1] ?? 0;
const heap = () => {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};

function policyOf(principals) {
  const ids = (count) => Array.from({ length: count }, newId);
  const [features, permissions, roles, users] = [ids(20), ids(1_000), ids(1_000), ids(principals)];
  const some = (count) => [...new Set(Array.from({ length: count }, () => pick(permissions)))];
  const delta = [
    ...features.map((id, i) => ({ op: 'feature.put', id, name: `f${i}`, isActive: true })),
    ...permissions.map((id, i) => ({ op: 'permission.put', id, featureId: features[i % 20], action: `a${i}` })),
    ...roles.map((id, i) => ({ op: 'role.put', id, name: `r${i}`, isActive: true, receivesNew: false })),
    ...roles.map((id) => ({ op: 'role.grant', id, permissionIds: some(20) })),
    ...users.map((id) => ({
      op: 'principal.put',
      id,
      isActive: true,
      roles: [...new Set([pick(roles), pick(roles)])].map((role) => ({ id: role, expiresAtMs: null })),
    })),
  ];
  return { delta, users, roles };
}

console.log('In process, 1,000 roles of 20 out of 1,000 permissions, two random roles each:');
for (const principals of [1_000, 10_000, 100_000]) {
  const { delta, users, roles } = policyOf(principals);
  const before = heap();
  let startedAt = performance.now();
  let snapshot = compile(1, delta);
  const compileMs = performance.now() - startedAt;
  const bytes = heap() - before;
  const questions = Array.from({ length: 300_000 }, () => {
    const i = below(1_000);
    return { principalId: pick(users), permission: `f${i % 20}:a${i}` };
  });
  for (const question of questions.slice(0, 50_000)) decide(snapshot, question, 0);
  startedAt = performance.now();
  for (const question of questions) decide(snapshot, question, 0);
  const nanoseconds = ((performance.now() - startedAt) / questions.length) * 1e6;
  const changes = Array.from({ length: 40 }, () => {
    const step = {
      op: 'principal.put',
      id: pick(users),
      isActive: true,
      roles: [{ id: pick(roles), expiresAtMs: null }],
    };
    startedAt = performance.now();
    snapshot = applyDelta(snapshot, { revision: snapshot.revision + 1, delta: [step] });
    return performance.now() - startedAt;
  });
  console.log(
    `  ${String(principals).padStart(7)} principals: decision ${nanoseconds.toFixed(0)} ns, compile ${compileMs.toFixed(0)} ms, ` +
      `change ${median(changes).toFixed(2)} ms, ${(bytes / 1e6).toFixed(1)} MB`,
  );
}

/** `inFlight` requests at a time until the time is over. */
async function load(connection, subject, body, inFlight) {
  const [times, until] = [[], performance.now() + seconds * 1_000];
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (performance.now() < until) {
        const startedAt = performance.now();
        const reply = await connection.request(subject, body, { timeout: 5_000 });
        if (reply.headers?.has('Nats-Service-Error-Code')) throw new Error(reply.string());
        times.push(performance.now() - startedAt);
      }
    }),
  );
  const sorted = times.sort((a, b) => a - b);
  const share = (part) => (sorted[Math.floor((sorted.length - 1) * part)] ?? 0).toFixed(2);
  return { perSecond: sorted.length / seconds, text: `p50 ${share(0.5)} ms, p99 ${share(0.99)} ms` };
}

const run = await startTestRun((line) => console.log(line));
Object.assign(process.env, run.env);
const nats = await startTestNats();
const database = await createTestDatabase({ service: 'rbac' });
const healthPort = await freePort();
const env = {
  NODE_ENV: 'test',
  LOG_LEVEL: process.env.LOG_LEVEL ?? 'warn',
  HEALTH_HOST: '127.0.0.1',
  HEALTH_PORT: String(healthPort),
  NATS_URL: nats.servers,
  NATS_NKEY_SEED: nats.seed('rbac'),
  RBAC_DB_URL: database.url,
  RBAC_DB_MIGRATION_URL: database.ownerUrl,
};
const start = (name) => {
  const file = fileURLToPath(new URL(`../dist/${name}.js`, import.meta.url));
  const child = spawn(process.execPath, [file], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  return { child, exited: new Promise((resolve) => child.once('exit', resolve)) };
};
const echo = spawn(
  process.execPath,
  [
    '--input-type=module',
    '-e',
    `import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
     const authenticator = nkeyAuthenticator(new TextEncoder().encode(process.env.SEED));
     const connection = await connect({ servers: process.env.NATS_URL, authenticator, inboxPrefix: '_INBOX.audit', noAsyncTraces: true });
     connection.subscribe('audit.event.get.v1', { queue: 'audit', callback: (_error, message) => message.respond(message.data) });`,
  ],
  { env: { NATS_URL: nats.servers, SEED: nats.seed('audit') }, stdio: 'inherit' },
);
try {
  for (const name of ['migrate', 'seed']) await start(name).exited;
  const service = start('main');
  const isReady = () =>
    fetch(`http://127.0.0.1:${healthPort}/health/readiness`).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await isReady())) await pause(100);
  const connection = await connect({ ...nats.plain('gateway'), noAsyncTraces: true });
  const body = (count) =>
    JSON.stringify({
      checks: Array.from({ length: count }, () => ({
        principalId: bootstrapAdministratorId,
        permission: 'users:view',
      })),
    });
  console.log(`\nOver NATS, 64 requests in flight, ${seconds} s each, service log level ${env.LOG_LEVEL}:`);
  await load(connection, 'rbac.access.decide.v1', body(1), 64);
  const bare = await load(connection, 'audit.event.get.v1', body(1), 64);
  const single = await load(connection, 'rbac.access.decide.v1', body(1), 64);
  const batch = await load(connection, 'rbac.access.decide.v1', body(50), 64);
  console.log(`  echo              ${bare.perSecond.toFixed(0)} requests/s, ${bare.text}`);
  console.log(
    `  one decision      ${single.perSecond.toFixed(0)} requests/s, ${single.text} (${(single.perSecond / bare.perSecond).toFixed(2)} of echo)`,
  );
  console.log(`  batches of 50     ${(batch.perSecond * 50).toFixed(0)} decisions/s, ${batch.text}`);
  await connection.close();
  service.child.kill('SIGTERM');
  await service.exited;
} finally {
  echo.kill('SIGKILL');
  await nats.stop();
  await database.drop();
  await run.stop();
}
