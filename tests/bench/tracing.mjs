/**
 * What tracing costs a guarded request (token, decision, one read): CPU time of each service per request, with tracing
 * off, at 1 %, for all, and as `npm start` sets it. CPU and not requests per second: other work on the machine changes
 * the latter more than tracing does. `node tests/bench/tracing.mjs [seconds] [rounds]`
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { startSystem } from '@prime-nest/devstack/start-system';

const seconds = Number(process.argv[2] ?? 6);
const rounds = Number(process.argv[3] ?? 2);
const connections = 32;
const modes = {
  off: { OTEL_ENABLED: 'false' },
  '1 %': { OTEL_ENABLED: 'true', OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.01' },
  all: { OTEL_ENABLED: 'true', OTEL_TRACES_SAMPLER: 'parentbased_always_on' },
  'npm start': { OTEL_ENABLED: 'true', OTEL_TRACES_PER_SECOND_MAX: '20' },
};

async function measure(env) {
  const home = await mkdtemp(path.join(tmpdir(), 'prime-nest-bench-'));
  const limits = { RATE_LIMIT_ANONYMOUS_MAX: '100000', RATE_LIMIT_PRINCIPAL_MAX: '10000000', LOG_LEVEL: 'warn' };
  const system = await startSystem({ home, env: { ...limits, ...env } });
  try {
    const token = await signIn(system);
    await load(system.gatewayUrl, token, 2);
    const before = await cpuSeconds(system);
    const { requests, tookSeconds } = await load(system.gatewayUrl, token, seconds);
    const after = await cpuSeconds(system);
    const perRequest = Object.fromEntries(
      Object.keys(before).map((service) => [service, ((after[service] - before[service]) / requests) * 1e6]),
    );
    return { perSecond: requests / tookSeconds, perRequest };
  } finally {
    await system.stop();
    await rm(home, { recursive: true, force: true });
  }
}

async function signIn(system) {
  const password = (await readFile(system.state.adminPasswordFile, 'utf8')).trim();
  const answer = await fetch(`${system.state.apiUrl}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: system.state.adminEmail, password }),
  });
  return (await answer.json()).access_token;
}

async function load(url, token, forSeconds) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const startedAt = performance.now();
  const end = startedAt + forSeconds * 1000;
  let requests = 0;
  const one = () =>
    new Promise((resolve, reject) => {
      const options = { agent, headers: { authorization: `Bearer ${token}` } };
      const request = http.get(`${url}/api/features?limit=5`, options, (response) => {
        response.resume();
        response.on('end', () =>
          response.statusCode === 200 ? resolve() : reject(new Error(`${response.statusCode}`)),
        );
      });
      request.on('error', reject);
    });
  const worker = async () => {
    while (performance.now() < end) {
      await one();
      requests++;
    }
  };
  await Promise.all(Array.from({ length: connections }, worker));
  agent.destroy();
  return { requests, tookSeconds: (performance.now() - startedAt) / 1000 };
}

async function cpuSeconds(system) {
  const entries = Object.entries(system.state.metrics).map(async ([service, url]) => {
    const line = /^process_cpu_seconds_total\{[^}]*\} (\S+)$/m.exec(await (await fetch(url)).text());
    return [service, Number(line?.[1])];
  });
  return Object.fromEntries(await Promise.all(entries));
}

const best = {};
for (let round = 0; round < rounds; round++) {
  for (const [mode, env] of Object.entries(modes)) {
    const result = await measure(env);
    const kept = best[mode];
    const sum = ({ perRequest }) => perRequest.gateway + perRequest.rbac;
    if (kept === undefined || sum(result) < sum(kept)) best[mode] = result;
    console.error(`round ${round + 1}, ${mode}: ${result.perSecond.toFixed(0)} requests/s`);
  }
}
console.log('| tracing | gateway µs | rbac µs | identity µs | gateway, of off | requests/s |');
console.log('| --- | --- | --- | --- | --- | --- |');
for (const [mode, { perRequest, perSecond }] of Object.entries(best)) {
  const { gateway, rbac, identity } = perRequest;
  const cells = [gateway, rbac, identity].map((value) => value.toFixed(0));
  const ratio = (gateway / best.off.perRequest.gateway).toFixed(2);
  console.log(`| ${mode} | ${cells.join(' | ')} | ${ratio} | ${perSecond.toFixed(0)} |`);
}
process.exit(0);
