import { readdirSync } from 'node:fs';
import path from 'node:path';
import { buildIfNeeded } from './build-if-needed.mjs';

/**
 * One PostgreSQL for the whole run, started only when a selected file wants real servers (`*.int.test.ts`). Workers
 * learn its address from the environment. It ends with this process: by `jest-global-teardown.mjs` when jest is done,
 * by the signal's handler when it is interrupted, by the kernel when jest is killed.
 */
export default async function globalSetup(globalConfig, projectConfigs) {
  const selected = Array.isArray(projectConfigs) ? projectConfigs : [projectConfigs];
  if (!selected.some(({ rootDir }) => wantsServers(rootDir, globalConfig))) return;
  buildIfNeeded(['libs/testkit']);
  const { startTestRun } = await import('../libs/testkit/dist/test-run.js');
  const run = await startTestRun((line) => process.stderr.write(`${line}\n`));
  Object.assign(process.env, run.env);

  let stopping;
  const stop = () => (stopping ??= run.stop());
  globalThis.stopTestRun = stop;
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => stop().finally(() => process.kill(process.pid, signal)));
  }
}

function wantsServers(rootDir, { testPathPatterns }) {
  const patterns = (testPathPatterns?.patterns ?? []).map((pattern) => new RegExp(pattern, 'i'));
  return integrationTests(rootDir).some((file) => patterns.length === 0 || patterns.some((one) => one.test(file)));
}

function integrationTests(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) return ['node_modules', 'dist'].includes(entry.name) ? [] : integrationTests(file);
    return entry.name.endsWith('.int.test.ts') ? [file] : [];
  });
}
