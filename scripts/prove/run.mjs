/**
 * `npm run prove [-- name …] [-- --seed N]`: every proof of this repository, one after the other, each with its
 * control; then one table of claim, figure and verdict. What a proof prints is kept in `.cache/proofs/<name>.log`.
 * Exit code 0 only when every claim is proven.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { clearTimeout, setTimeout } from 'node:timers';
import { proofs } from './proofs.mjs';
import { table } from './report.mjs';

const root = path.resolve(import.meta.dirname, '..', '..');
const bin = path.join(root, 'node_modules', '.bin');
const words = process.argv.slice(2);
const seedAt = words.indexOf('--seed');
const seed = seedAt === -1 ? String(Date.now() % 1_000_000) : words[seedAt + 1];
const wanted = words.filter((_, index) => seedAt === -1 || (index !== seedAt && index !== seedAt + 1));
const unknown = wanted.filter((name) => !proofs.some((proof) => proof.name === name));
if (unknown.length > 0) {
  console.error(`no such proof: ${unknown.join(', ')}; there are ${proofs.map(({ name }) => name).join(', ')}`);
  process.exit(64);
}

const logs = path.join(root, '.cache', 'proofs');
mkdirSync(logs, { recursive: true });
const env = { ...process.env, PATH: `${bin}${path.delimiter}${process.env.PATH}` };

/** Runs one proof to its end, or ends it at its limit: a proof that hangs has proven nothing. */
async function prove({ name, args, limitSeconds, takesSeed }) {
  const reportFile = path.join(logs, `${name}.json`);
  rmSync(reportFile, { force: true });
  const log = openSync(path.join(logs, `${name}.log`), 'w');
  const child = spawn(path.join(bin, 'node'), ['--no-warnings', ...args, ...(takesSeed ? ['--seed', seed] : [])], {
    cwd: root,
    env: { ...env, PROOF_REPORT: reportFile },
    stdio: ['ignore', log, log],
  });
  const limit = setTimeout(() => child.kill('SIGKILL'), limitSeconds * 1_000);
  const status = await new Promise((resolve) => child.once('exit', resolve));
  clearTimeout(limit);
  closeSync(log);
  try {
    const rows = JSON.parse(readFileSync(reportFile, 'utf8'));
    if (status === 0 || rows.some(({ isProven }) => !isProven)) return rows;
  } catch {
    // No report: told below.
  }
  const figure = `ended with ${status ?? 'a signal'}; see .cache/proofs/${name}.log`;
  return [{ claim: `${name} runs to its end`, figure, control: '', isProven: false }];
}

console.log(`seed ${seed}`);
const startedAt = performance.now();
const rows = [];
for (const proof of proofs.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  const since = performance.now();
  const found = await prove(proof);
  const failed = found.filter(({ isProven }) => !isProven).length;
  const seconds = Math.round((performance.now() - since) / 1_000);
  console.log(
    `${proof.name.padEnd(12)} ${String(seconds).padStart(4)} s  ${found.length - failed} proven, ${failed} failed`,
  );
  rows.push(...found);
}
const failed = rows.filter(({ isProven }) => !isProven).length;
console.log(`\n${table(rows)}\n`);
console.log(
  `${rows.length - failed} proven, ${failed} failed in ${Math.round((performance.now() - startedAt) / 1_000)} s (seed ${seed})`,
);
process.exit(failed === 0 && rows.length > 0 ? 0 : 1);
