/**
 * A guarded GET (token verified, rate limit in Redis, decision of rbac over NATS) against bare Fastify, against
 * Fastify with nothing but the two questions, against Nest on Fastify, and against Nest with the libraries that a guarded
 * request goes through, in one run, in turns, and what tracing costs it:
 *
 *     node services/gateway/bench/guarded.mjs [--seconds 3] [--rounds 5] [--write] [--profile <file>]
 *
 * Absolute figures are this machine's, on which load generator, gateway, NATS, Redis and rbac share the processors:
 * compare the ratios. CPU time per request is that of the serving process alone. `--write` keeps the table in
 * bench/RESULTS.md, `--profile` leaves a CPU profile of the gateway with tracing off.
 */
import { fork } from 'node:child_process';
import { createHash, createPublicKey, sign } from 'node:crypto';
import { once } from 'node:events';
import { Buffer } from 'node:buffer';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildIfNeeded } from '../../../scripts/build-if-needed.mjs';
import { median } from '../../../scripts/statistics.mjs';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '5' },
    write: { type: 'boolean', default: false },
    profile: { type: 'string' },
  },
});
const connections = 64;
const rounds = Number(values.rounds);
const warmUps = 3;
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

buildIfNeeded(['services/gateway', 'libs/testkit']);
const { startTestNats } = await import('@prime-nest/testkit/nats');
const { startTestRedis } = await import('@prime-nest/testkit/redis');
const { newKeyPair } = await import('@prime-nest/testkit/keys');
const { newId } = await import('@prime-nest/kit/ids');

const pair = newKeyPair(3072);
const { n, e } = createPublicKey(pair.publicKey).export({ format: 'jwk' });
const kid = createHash('sha256')
  .update(JSON.stringify({ e, kty: 'RSA', n }))
  .digest('base64url');
const tokens = Array.from({ length: connections }, newToken);

const children = [];
const [nats, redis] = await Promise.all([startTestNats({ streams: false }), startTestRedis()]);
const seeds = Object.fromEntries(['gateway', 'identity', 'rbac'].map((user) => [user, nats.seed(user)]));
const bus = JSON.stringify({ servers: nats.servers, seeds });
try {
  await start('peers', [bus, JSON.stringify({ kty: 'RSA', kid, use: 'sig', alg: 'RS256', n, e })]);
  const traced = (ratio) => ({
    execArgv: ['--import', '@prime-nest/kit/telemetry-register'],
    env: {
      OTEL_ENABLED: 'true',
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: ratio,
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
      OTEL_SERVICE_NAME: 'gateway',
    },
  });
  const hello = { path: '/hello', tokens: [] };
  const guarded = { path: '/api/hello', tokens };
  const candidates = [
    { name: 'bare Fastify', ...(await start('bare')), ...hello },
    { name: 'Fastify, asking Redis and rbac', ...(await start('asking', [bus, redis.url])), ...hello },
    { name: 'Nest on Fastify', ...(await start('nest')), ...hello },
    { name: 'the libraries alone', ...(await start('libraries', [bus, redis.url])), ...hello, tokens },
    { name: 'gateway', ...(await start('gateway', [bus, redis.url])), ...guarded },
    { name: 'gateway, tracing 1 %', ...(await start('gateway', [bus, redis.url], traced('0.01'))), ...guarded },
    { name: 'gateway, tracing all', ...(await start('gateway', [bus, redis.url], traced('1'))), ...guarded },
  ];
  const results = new Map(candidates.map(({ name }) => [name, []]));
  const plain = candidates.find(({ name }) => name === 'gateway');
  // The more code a side has, the longer it takes until all of it is compiled; the gateway some ten seconds.
  for (let round = 1 - warmUps; round <= rounds; round++) {
    if (round === 1 && values.profile !== undefined) plain.child.send({ ask: 'profile' });
    for (const candidate of candidates) {
      const result = await measure(candidate);
      if (round > 0) results.get(candidate.name).push(result);
    }
  }
  await report(results);
  if (values.profile !== undefined) {
    plain.child.send({ ask: 'profile end', file: values.profile });
    await once(plain.child, 'exit');
  }
} finally {
  for (const child of children) child.kill();
  await Promise.all([nats.stop(), redis.stop()]);
}
process.exit(0);

async function start(role, args = [], { execArgv = [], env = {} } = {}) {
  const child = fork(here('server.mjs'), [role, ...args], { execArgv, env: { ...process.env, ...env } });
  children.push(child);
  const [{ port }] = await once(child, 'message');
  return { port, child };
}

async function measure({ port, child, path, tokens }) {
  const before = await cpuOf(child);
  const ms = Number(values.seconds) * 1000;
  const load = fork(here('load.mjs'), [connections, port, path, ms, JSON.stringify(tokens)].map(String));
  const [result] = await once(load, 'message');
  load.kill();
  return { ...result, cpuMicros: ((await cpuOf(child)) - before) / result.count };
}

async function cpuOf(child) {
  child.send({ ask: 'cpu' });
  const [{ cpu }] = await once(child, 'message');
  return cpu.user + cpu.system;
}

function newToken() {
  const iat = Math.floor(Date.now() / 1000);
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const ids = { sub: newId(), sid: newId(), jti: newId() };
  const claims = { iss: 'bench', aud: 'bench', ...ids, iat, exp: iat + 3600, ver: 0 };
  const input = `${encode({ alg: 'RS256', typ: 'at+jwt', kid })}.${encode(claims)}`;
  return `${input}.${sign('RSA-SHA256', Buffer.from(input), pair.privateKey).toString('base64url')}`;
}

async function report(results) {
  const medianOf = (list, key) => median(list.map((one) => one[key]));
  const base = results.get('bare Fastify');
  const untraced = results.get('gateway');
  const rows = [...results].map(([name, list]) => {
    const share = (key, of) => medianOf(list, key) / medianOf(of, key);
    const failed = list.reduce((sum, one) => sum + one.failed, 0);
    return [
      name,
      medianOf(list, 'perSecond').toFixed(0),
      share('perSecond', base).toFixed(2),
      medianOf(list, 'p50').toFixed(1),
      medianOf(list, 'p99').toFixed(1),
      medianOf(list, 'cpuMicros').toFixed(0),
      (1 / share('cpuMicros', base)).toFixed(2),
      name.includes('tracing') ? `${((share('cpuMicros', untraced) - 1) * 100).toFixed(0)} %` : '',
      failed,
    ];
  });
  const head = [
    '',
    'requests/s',
    'of bare',
    'p50 ms',
    'p99 ms',
    'CPU µs',
    'of bare, by CPU',
    'tracing costs',
    'failed',
  ];
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const table = [head, head.map(() => '---'), ...rows].map(line).join('\n');
  console.log(table);
  if (!values.write) return;
  const { conditions, writeSection } = await import('../../../bench/results.mjs');
  writeSection('gateway', `${explanation(conditions)}\n\n${table}`);
}

function explanation(conditions) {
  return [
    '## Gateway: a guarded request',
    '',
    `\`GET\` of a constant answer at ${connections} connections kept open, median of ${rounds} rounds of ${values.seconds} s after ${warmUps} to warm up, in turns.`,
    'The gateway verifies the token, counts the request in Redis and asks rbac over NATS before it answers.',
    'Bare Fastify and Nest do nothing; the side that asks sends one INCR per request to Redis and one check to rbac, those of a turn in one message, and does nothing else.',
    'The libraries alone are Nest on Fastify with those two questions, a digest of the token, the same headers, a histogram and a Pino line: what is left of the gateway without its own code.',
    'Load generator, NATS, Redis and the answering rbac share the processors with the server, so the CPU time of the serving process per request is the fairer figure.',
    '',
    conditions(`npm run bench:gateway -- --seconds ${values.seconds} --rounds ${rounds}`),
  ].join('\n');
}
