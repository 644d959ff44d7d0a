/**
 * How long each service takes from its process's start until it is ready, on a machine where the servers already run,
 * and what it holds and burns when nobody asks anything. `npm run bench:idle [seconds] [rounds]`
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { conditions, writeSection } from '../../bench/results.mjs';
import { buildIfNeeded } from '../../scripts/build-if-needed.mjs';
import { median } from '../../scripts/statistics.mjs';

buildIfNeeded();
const { startSystem } = await import('@prime-nest/devstack/start-system');

const [seconds = 20, rounds = 5] = process.argv.slice(2).map(Number);
const services = ['gateway', 'identity', 'rbac', 'audit'];

async function metric(system, service, name) {
  const text = await (await fetch(system.state.metrics[service])).text();
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1]);
}

const home = await mkdtemp(path.join(tmpdir(), 'prime-nest-idle-'));
const system = await startSystem({ home, env: { OTEL_ENABLED: 'false' } });
const rows = [];
try {
  const starts = Object.fromEntries(services.map((service) => [service, []]));
  for (let round = 0; round < rounds; round++) {
    for (const service of services) {
      await system.service(service).stop();
      const since = performance.now();
      await system.service(service).start();
      starts[service].push(performance.now() - since);
    }
  }
  await pause(3_000);
  const before = await Promise.all(services.map((service) => metric(system, service, 'process_cpu_seconds_total')));
  await pause(seconds * 1_000);
  for (const [index, service] of services.entries()) {
    const burnt = (await metric(system, service, 'process_cpu_seconds_total')) - before[index];
    const resident = (await metric(system, service, 'process_resident_memory_bytes')) / 1_048_576;
    const heap = (await metric(system, service, 'nodejs_heap_size_used_bytes')) / 1_048_576;
    rows.push(
      `| ${service} | ${Math.round(median(starts[service]))} ms | ${resident.toFixed(0)} MB | ${heap.toFixed(0)} MB | ${((burnt / seconds) * 100).toFixed(1)} % |`,
    );
  }
} finally {
  await system.stop();
  await rm(home, { recursive: true, force: true });
}
const table = [
  '| service | process start until ready | resident, idle | heap used, idle | processor, idle |',
  '| --- | --- | --- | --- | --- |',
  ...rows,
].join('\n');
console.log(table);
writeSection('idle', `## Start and idle\n\n${conditions('npm run bench:idle')} Median of ${rounds}.\n\n${table}`);
process.exit(0);
