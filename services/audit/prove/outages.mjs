/**
 * Proof by outage: the real system takes mutations at a steady rate while identity, rbac, audit, NATS and PostgreSQL
 * are killed, frozen and restarted at random, and JetStream's store is deleted while it holds events that the log has
 * not taken. Afterwards every mutation that was answered 2xx has exactly one entry, every entry its effect, every
 * committed event its place in the log, and the log verifies. The same judgement must fail on logs that were tampered with.
 *
 *     node services/audit/prove/outages.mjs [--seconds 90] [--seed N]
 */
import { spawnSync } from 'node:child_process';
import { createPrivateKey, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { buildIfNeeded } from '../../../scripts/build-if-needed.mjs';
import { createReport } from '../../../scripts/prove/report.mjs';
import { restClient } from '../../../tests/rest-client.ts';
import { numberOption } from '../../../scripts/arguments.mjs';
import { seededRandom } from '../../../scripts/prove/random.mjs';

buildIfNeeded();
const { provisionStreams } = await import('@prime-nest/devstack/provision');
const { startSystem } = await import('@prime-nest/devstack/start-system');

const seconds = numberOption('seconds', 90);
const seed = numberOption('seed', Date.now() % 1_000_000);
const random = seededRandom(seed);
const pick = (list) => list[Math.floor(random() * list.length)];
const say = (text) => process.stdout.write(`${text}\n`);
say(`seed ${seed}, ${seconds} s`);

const home = await mkdtemp(path.join(tmpdir(), 'prime-nest-prove-'));
const system = await startSystem({
  home,
  env: { RATE_LIMIT_ANONYMOUS_MAX: '100000', RATE_LIMIT_PRINCIPAL_MAX: '1000000', LOG_LEVEL: 'warn' },
});
const rest = restClient(system.gatewayUrl);
try {
  process.exitCode = await prove();
} finally {
  await system.stop();
  await rm(home, { recursive: true, force: true });
}
process.exit();

/** Status 0 when there is no answer. */
function call(method, route, options) {
  return rest(method, `/api${route}`, { timeoutMs: 8_000, ...options }).catch(() => ({ status: 0, body: {} }));
}

async function logIn() {
  const password = (await system.adminPassword()).trim();
  for (;;) {
    const answer = await call('POST', '/auth/login', { body: { email: system.state.adminEmail, password } });
    if (answer.status === 200) return answer.body.access_token;
    await pause(500);
  }
}

async function query(sql) {
  const client = new pg.Client({ connectionString: system.state.databaseUrl, connectionTimeoutMillis: 2_000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

async function eventually(what, deadlineMs, attempt) {
  const end = performance.now() + deadlineMs;
  for (;;) {
    let cause;
    const answer = await attempt().catch((error) => void (cause = error));
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > end) throw new Error(`${what}: not within ${deadlineMs} ms`, { cause });
    await pause(250);
  }
}

async function prove() {
  const answered = [];
  const statuses = new Map();
  let isRunning = true;
  const mutate = async (worker) => {
    let token = await logIn();
    for (let i = 0; isRunning; i++) {
      const isUser = i % 10 === 9;
      const name = `${worker}-${i}-${randomUUID().slice(0, 8)}`;
      const answer = isUser
        ? await call('POST', '/users', {
            token,
            body: { email: `${name}@example.com`, name, password: `a long passphrase ${name}` },
          })
        : await call('POST', '/roles', { token, body: { name } });
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      if (answer.status === 201) {
        answered.push({ type: isUser ? 'identity.account.created.v1' : 'rbac.role.created.v1', id: answer.body.id });
      }
      if (answer.status === 401) token = await logIn();
      await pause(answer.status === 201 ? 60 : 250);
    }
  };
  const workers = ['a', 'b', 'c'].map(mutate);
  const token = await logIn();
  const kept = await eventually('a first checkpoint', 30_000, async () => {
    const answer = await call('GET', '/audit/checkpoint', { token, headers: { accept: 'application/json' } });
    return answer.status === 200 ? answer.body.checkpoint : undefined;
  });

  const faults = new Map();
  const storm = async (untilMs) => {
    while (performance.now() < untilMs) {
      const target = pick(['identity', 'rbac', 'audit', 'audit', 'nats', 'postgres']);
      const isServer = target === 'nats' || target === 'postgres';
      const control = isServer ? system.server(target) : system.service(target);
      const action = pick(isServer ? ['kill', 'restart'] : ['kill', 'freeze', 'restart']);
      faults.set(`${target} ${action}`, (faults.get(`${target} ${action}`) ?? 0) + 1);
      if (action === 'kill') await control.kill(target === 'postgres' ? 'SIGQUIT' : 'SIGKILL');
      else if (action === 'restart') await control.restart();
      else {
        control.signal('SIGSTOP');
        await pause(1_000 + random() * 2_000);
        control.signal('SIGCONT');
      }
      await pause(1_500 + random() * 3_000);
    }
  };
  const startedAt = performance.now();
  await storm(startedAt + (seconds * 1_000) / 2);

  // Events that only JetStream holds, as far as it knows: published, acknowledged, not in the log. Then it forgets all.
  await eventually(
    'a quiet moment',
    60_000,
    async () => (await call('GET', '/roles', { token: await logIn() })).status === 200,
  );
  await system.service('audit').stop();
  const forgotten = await eventually('events on their way', 30_000, async () => {
    const [row] = await query(
      `SELECT (SELECT last_seq FROM rbac.relay_state) - COALESCE((SELECT max(s.last_seq) FROM audit.source_state s
         JOIN rbac.relay_state r ON r.epoch::text = s.epoch WHERE s.source = 'rbac'), 0) AS count`,
    );
    return Number(row.count) > 20 ? Number(row.count) : false;
  });
  await system.server('nats').stop();
  await rm(path.join(home, 'nats/jetstream'), { recursive: true, force: true });
  await system.server('nats').start();
  await provision();
  await system.service('audit').start();
  say(`JetStream's store deleted with ${forgotten} acknowledged events of rbac that the log did not have`);

  await storm(startedAt + seconds * 1_000);
  isRunning = false;
  await Promise.all(workers);
  const settledAt = performance.now();
  const outbox = ['identity', 'rbac', 'audit']
    .map((schema) => `SELECT event_id FROM ${schema}.outbox`)
    .join(' UNION ALL ');
  let missing;
  await eventually('every committed event in the log', 90_000, async () => {
    [missing] = await query(
      `SELECT count(*)::int AS count FROM (${outbox}) o WHERE NOT EXISTS (SELECT FROM audit.event e WHERE e.event_id = o.event_id)`,
    );
    return missing.count === 0;
  }).catch((error) => say(`FAILED ${error.message}: ${missing?.count} missing`));
  const settleMs = Math.round(performance.now() - settledAt);

  const entries = await query('SELECT event_id, type, resource_id, outcome FROM audit.event ORDER BY log_index');
  const effects = new Set(
    (await query('SELECT id FROM rbac.role UNION ALL SELECT id FROM identity.account')).map(({ id }) => id),
  );
  const [{ committed }] = await query(`SELECT count(*)::int AS committed FROM (${outbox}) o`);
  const verdict = judge(entries, { answered, effects });
  const controls = [
    ['an entry taken out', entries.filter(({ resource_id }) => resource_id !== answered[0].id)],
    ['an entry doubled', [...entries, entries.find(({ resource_id }) => resource_id === answered[0].id)]],
    [
      'an entry without an effect',
      [...entries, { type: 'rbac.role.created.v1', resource_id: randomUUID(), outcome: 'success' }],
    ],
  ].map(([name, tampered]) => ({ name, faults: judge(tampered, { answered, effects }).length }));

  await writeFile(path.join(home, 'kept'), kept);
  const key = await eventually('the verifier key', 30_000, async () => verifierKey());
  const verified = audit(['database', '--kept', path.join(home, 'kept'), '--key', key]);
  const live = audit(['live', `${system.gatewayUrl}/api`, '--kept', path.join(home, 'kept'), '--key', key]);
  const quarantined = entries.filter(({ type }) => type === 'audit.event.quarantined.v1').length;

  const sum = (counts) => [...counts].map(([name, count]) => `${name || 'no answer'} ${count}`).join(', ');
  say(`answers: ${sum(statuses)}; settled in ${settleMs} ms`);
  const report = createReport();
  const isWhole = verdict.length === 0 && missing?.count === 0 && quarantined === 0 && answered.length > 0;
  report.add('Every mutation that was answered has exactly one entry, and no entry is without its effect', {
    figure: `${answered.length} answered 2xx, ${committed} events committed, ${entries.length} entries, ${quarantined} quarantined; faults: ${sum(faults)}${verdict.length === 0 ? '' : `; ${verdict.slice(0, 5).join('; ')}`}`,
    control: controls.map(({ name, faults: found }) => `${name}: ${found} found`).join(', '),
    isProven: isWhole && controls.every(({ faults: found }) => found > 0),
  });
  report.add("Nothing is lost with JetStream's store", {
    figure: `${forgotten} events of rbac were only there when it was deleted; ${missing?.count ?? 'unknown'} missing`,
    isProven: missing?.count === 0,
  });
  report.add('The log verifies against a checkpoint from before the outages', {
    figure: `in the database ${verified.status}: ${verified.stdout.trim()}; live ${live.status}: ${live.stdout.trim()}`,
    isProven: verified.status === 0 && live.status === 0,
  });
  const exitCode = report.finish();
  if (exitCode !== 0) await explain();
  return exitCode;
}

/** The public half of the key that the log was started with: from its file, not from the system that is judged. */
async function verifierKey() {
  const { formatVerifierKey, verifierKeyOf } = await import('@prime-nest/kit/tlog/checkpoint');
  const answer = await fetch(`${system.gatewayUrl}/api/audit/checkpoint`, { headers: { accept: 'application/json' } });
  if (!answer.ok) return undefined;
  const { checkpoint } = await answer.json();
  const pem = await readFile(path.join(home, 'secrets/audit-signing-key.pem'), 'utf8');
  return formatVerifierKey(verifierKeyOf(checkpoint.split('\n')[0], createPrivateKey(pem)));
}

/** What a person would look at first. */
async function explain() {
  for (const schema of ['identity', 'rbac', 'audit']) {
    say(
      `${schema}: ${JSON.stringify((await query(`SELECT epoch, last_seq, receipt_seq, origin FROM ${schema}.relay_state`))[0])}`,
    );
    const events = system.logs(schema).filter((line) => /"(relay|ingest|checkpoint)\./.test(line));
    for (const line of events.slice(-12)) say(`  ${line.slice(0, 600)}`);
  }
  for (const row of await query('SELECT source, epoch, last_seq FROM audit.source_state')) say(JSON.stringify(row));
}

function judge(entries, { answered, effects }) {
  const counts = new Map();
  const key = (type, id) => `${type} ${id}`;
  for (const { type, resource_id } of entries)
    counts.set(key(type, resource_id), (counts.get(key(type, resource_id)) ?? 0) + 1);
  const lost = answered
    .filter(({ type, id }) => counts.get(key(type, id)) !== 1)
    .map(({ type, id }) => `${type} of ${id} has ${counts.get(key(type, id)) ?? 0} entries`);
  const groundless = entries
    .filter(({ type, outcome }) => /^(rbac\.role|identity\.account)\.created/.test(type) && outcome === 'success')
    .filter(({ resource_id }) => !effects.has(resource_id))
    .map(({ resource_id }) => `an entry says that ${resource_id} was created`);
  return [...lost, ...groundless];
}

async function provision() {
  await eventually('streams', 30_000, async () => {
    await provisionStreams(system.busCredentials('provisioner'));
    return true;
  });
}

function audit(args) {
  return spawnSync(process.execPath, [fileURLToPath(new URL('../dist/verify-log.js', import.meta.url)), ...args], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, AUDIT_DB_URL: system.state.databaseUrl },
  });
}
