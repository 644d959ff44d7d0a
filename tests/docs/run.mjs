/**
 * `npm run docs:check`: runs every command of docs/en and docs/pt-br that is marked to be run, page by page, against a
 * system of its own. A command that fails fails the check, with its page.
 */
import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildIfNeeded } from '../../scripts/build-if-needed.mjs';
import { commandsOf, languages, pagesOf, root, textOf } from './pages.mjs';

for (const tool of ['bash', 'curl', 'jq']) {
  if (spawnSync(tool, ['--version']).status === 0) continue;
  console.log(`docs: skipped, there is no ${tool} here`);
  process.exit(0);
}
buildIfNeeded();
const { startSystem } = await import('@prime-nest/devstack/start-system');
const work = await mkdtemp(path.join(tmpdir(), 'prime-nest-docs-'));
const home = path.join(work, 'home');
const system = await startSystem({ home, env: { RATE_LIMIT_ANONYMOUS_MAX: '100000' } });
// 503 means "try again": on a busy machine that may be the first answer.
await writeFile(path.join(work, '.curlrc'), 'retry = 5\n');
const env = {
  ...process.env,
  CURL_HOME: work,
  API: `${system.gatewayUrl}/api`,
  ADMIN_EMAIL: system.state.adminEmail,
  PRIME_NEST_HOME: home,
  WORK: work,
};

let failed = 0;
let ran = 0;
try {
  for (const language of languages) {
    for (const page of pagesOf(language)) {
      const blocks = commandsOf(textOf(language, page));
      if (blocks.length === 0) continue;
      const script = ['set -euo pipefail', ...blocks].join('\n');
      // Not the synchronous kind: this process also writes down what the services log.
      const { status, output } = await new Promise((resolve) => {
        execFile('bash', ['-c', script], { cwd: root, env, timeout: 300_000 }, (error, stdout, stderr) => {
          resolve({
            status: error?.code ?? (error === null ? 0 : -1),
            output: `${stdout.slice(-2000)}\n${stderr.slice(-2000)}`,
          });
        });
      });
      ran += blocks.length;
      console.log(`docs/${language}/${page}: ${blocks.length} blocks, ${status === 0 ? 'good' : `FAILED (${status})`}`);
      if (status === 0) continue;
      failed++;
      console.log(output);
    }
  }
} finally {
  await system.stop();
  await rm(work, { recursive: true, force: true });
}
console.log(`${ran} blocks ran, ${failed} pages failed`);
process.exit(failed === 0 && ran > 0 ? 0 : 1);
