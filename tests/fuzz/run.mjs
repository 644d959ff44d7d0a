/**
 * `npm run fuzz -- [--seconds 120] [--seed N]`: schemathesis reads the OpenAPI document and calls every operation of a
 * system of its own, with valid and invalid requests, first without a token and then as the first administrator. No
 * answer may be a server error, and every answer must be documented: status, content type, schema, headers.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildIfNeeded } from '../../scripts/build-if-needed.mjs';
import { numberOption } from '../../scripts/arguments.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const seconds = numberOption('seconds', 120);
const seed = numberOption('seed', randomInt(2 ** 31));
const skip = (why) => {
  console.log(`fuzz: skipped, ${why}`);
  process.exit(0);
};

/** The tool in a folder of its own, with everything it needs at the versions of requirements.txt. */
function install() {
  const folder = path.join(root, '.cache', 'fuzz');
  const tool = path.join(folder, 'bin', 'schemathesis');
  if (existsSync(tool)) return tool;
  const run = (command, ...args) => spawnSync(command, args, { encoding: 'utf8', timeout: 180_000 });
  const version = run('python3', '-c', 'import sys; print(sys.version_info >= (3, 10))');
  if (version.stdout?.trim() !== 'True') skip('there is no Python 3.10 or later');
  if (run('python3', '-m', 'venv', folder).status !== 0) skip('Python has no venv module');
  const requirements = path.join(import.meta.dirname, 'requirements.txt');
  const pip = run(
    path.join(folder, 'bin', 'pip'),
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '-r',
    requirements,
  );
  if (pip.status !== 0) skip('schemathesis cannot be installed: the package index is not reachable');
  return tool;
}

const tool = install();
buildIfNeeded();
const { startSystem } = await import('@prime-nest/devstack/start-system');
const home = await mkdtemp(path.join(tmpdir(), 'prime-nest-fuzz-'));
const system = await startSystem({
  home,
  env: { RATE_LIMIT_ANONYMOUS_MAX: '1000000', RATE_LIMIT_PRINCIPAL_MAX: '10000000', LOG_LEVEL: 'warn' },
});
const adminPassword = (await system.adminPassword()).trim();

async function signIn() {
  const response = await fetch(`${system.gatewayUrl}/api/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: system.state.adminEmail, password: adminPassword }),
  });
  if (response.status !== 200) throw new Error(`the administrator could not sign in: ${response.status}`);
  return (await response.json()).access_token;
}

const checks =
  'not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance';
// Whoever signs himself out, or ends all his sessions, sees 401 from then on: these come without a token only.
const endsOwnSession = ['--exclude-path-regex', '^/api/auth/(logout|logout-all|change-password|sessions)'];

async function attack(name, args) {
  console.log(`\n== ${name}, seed ${seed}`);
  const child = spawn(
    tool,
    [
      'run',
      path.join(root, 'services/gateway/openapi.json'),
      ...['--url', system.gatewayUrl, '--checks', checks, '--phases', 'examples,coverage,fuzzing'],
      ...['--max-time', String(seconds), '--seed', String(seed), '--request-timeout', '15'],
      ...['--generation-database', 'none', '--warnings', 'off', '--suppress-health-check', 'all', '--no-color'],
      ...['--continue-on-failure', '--max-failures', '40'],
      ...args,
    ],
    { stdio: 'inherit', cwd: home, timeout: (seconds + 60) * 1000 },
  );
  const [status] = await once(child, 'exit');
  return { name, isGood: status === 0 };
}

const results = [];
try {
  // First of all: later the administrator may be locked out by guesses.
  const token = await signIn();
  results.push(await attack('without a token', []));
  results.push(await attack('as administrator', ['-H', `Authorization: Bearer ${token}`, ...endsOwnSession]));
} finally {
  await system.stop();
  await rm(home, { recursive: true, force: true });
}
console.log('');
for (const { name, isGood } of results) {
  console.log(`${name.padEnd(18)} ${isGood ? 'no server error, every answer documented' : 'FAILED, see above'}`);
}
process.exit(results.every(({ isGood }) => isGood) ? 0 : 1);
