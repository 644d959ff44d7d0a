/**
 * `npm run bench [-- name …]`: every `bench:*` script of package.json, one after the other; each writes its own section
 * of RESULTS.md. Run it on a machine that does nothing else. Exit code 1 when a bench fails; the others still run.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { performance } from 'node:perf_hooks';

const root = path.resolve(import.meta.dirname, '..');
const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const names = Object.keys(scripts)
  .filter((script) => script.startsWith('bench:'))
  .map((script) => script.slice('bench:'.length));
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  console.error(`no such bench: ${unknown.join(', ')}; there are ${names.join(', ')}`);
  process.exit(64);
}

const outcomes = [];
for (const name of names.filter((one) => wanted.length === 0 || wanted.includes(one))) {
  console.log(`\n== bench:${name}`);
  const since = performance.now();
  const { status } = spawnSync('npm', ['run', '--silent', `bench:${name}`], {
    cwd: root,
    stdio: 'inherit',
    timeout: 300_000,
    killSignal: 'SIGTERM',
  });
  outcomes.push({ name, status, seconds: Math.round((performance.now() - since) / 1_000) });
}
console.log('\nWritten to bench/RESULTS.md:');
for (const { name, status, seconds } of outcomes) {
  console.log(
    `  ${name.padEnd(12)} ${String(seconds).padStart(4)} s  ${status === 0 ? 'ok' : `FAILED (${status ?? 'time'})`}`,
  );
}
process.exit(outcomes.every(({ status }) => status === 0) ? 0 : 1);
