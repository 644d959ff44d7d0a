/**
 * Races and boundaries as proofs: runs the named test suites with more rounds than `npm test` does and reports one row
 * for each promise in them. `node scripts/prove/suites.mjs <jest project> <path pattern> [NAME=value …]`
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createReport } from './report.mjs';

const [project, pattern, ...settings] = process.argv.slice(2);
const folder = mkdtempSync(path.join(tmpdir(), 'prime-nest-suites-'));
const file = path.join(folder, 'report.json');
const env = { ...process.env, ...Object.fromEntries(settings.map((setting) => setting.split('='))) };
delete env.PROOF_REPORT;
spawnSync(
  process.execPath,
  [
    path.resolve(import.meta.dirname, '..', 'jest.mjs'),
    project,
    `--testPathPatterns=${pattern}`,
    '--json',
    `--outputFile=${file}`,
  ],
  { stdio: ['ignore', 'ignore', 'inherit'], env },
);
const report = createReport();
try {
  for (const suite of JSON.parse(readFileSync(file, 'utf8')).testResults) {
    for (const { ancestorTitles, title, status, duration } of suite.assertionResults) {
      if (status === 'pending' || status === 'todo') continue;
      const figure = [`${Math.round(duration ?? 0)} ms`, ...settings].join(', ');
      report.add([...ancestorTitles, title].join(': '), { figure, isProven: status === 'passed' });
    }
  }
} catch {
  report.add(`the suites of ${project} that match ${pattern}`, { figure: 'did not run', isProven: false });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(report.finish());
