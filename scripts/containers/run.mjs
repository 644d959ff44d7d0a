/**
 * `npm run test:containers`: builds the images, brings the compose file up as a system of its own, and checks from
 * outside what is promised of it, a restore from a backup included. Needs a container engine; without one it says so in
 * one line and exits 0. Where no image registry answers, base images are made by tests/deploy/containers/stand-ins.sh.
 * Ends with `N passed, N failed`.
 */
import { client, isReady, restoreDrill } from './drill.mjs';
import { spawnSync } from 'node:child_process';
import { buildIfNeeded } from '../build-if-needed.mjs';
import { UnavailableError, root, run } from './engine.mjs';
import { composeSystem, eventually, script, services } from './system.mjs';

let passed = 0;
let failed = 0;
async function check(name, attempt) {
  try {
    const detail = await attempt();
    if (detail === false) throw new Error('does not hold');
    passed += 1;
    console.log(`ok      ${name}${typeof detail === 'string' ? `  (${detail})` : ''}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n        ${why(error).replaceAll('\n', '\n        ')}`);
  }
}

const why = (error) => (error.cause ? `${error.message}: ${error.cause.message}` : error.message);

async function main() {
  const system = await composeSystem();
  const stop = () => {
    system.down();
    process.exit(130);
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    // What stands outside and checks: audit-verify, the library of assertions.
    buildIfNeeded();
    await timed('build', () => system.compose('build'));
    await timed('up', () => system.compose('up', '--detach'));
    await timed('ready', () => isReady(system));
    await checkImages(system);
    await checkSystem(system);
  } finally {
    system.down();
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}

async function timed(name, work) {
  const since = Date.now();
  await work();
  console.log(`${name}: ${((Date.now() - since) / 1000).toFixed(1)} s`);
}

async function checkImages(system) {
  for (const service of services) {
    const [image] = JSON.parse(system.docker('inspect', system.container(service)));
    const [built] = JSON.parse(system.docker('image', 'inspect', image.Image));
    await check(`${service}: numeric user, read-only root, no capabilities, health check`, () => {
      const { HostConfig: host } = image;
      const isTight =
        host.ReadonlyRootfs && host.CapDrop.includes('ALL') && host.SecurityOpt.some((one) => one.startsWith('no-new'));
      if (!isTight || !/^\d+:\d+$/.test(built.Config.User) || !built.Config.Healthcheck) return false;
      return `user ${built.Config.User}, ${Math.round(built.Size / 1e6)} MB`;
    });
    await check(`${service}: no compiler, no package manager, no other service`, () => {
      const look = `ls /app/services; for p in npm npx yarn gcc cc make tsc git curl; do command -v $p && exit 1; done; find /app -name '*.test.*' -o -name '*.ts' -o -path '*/node_modules/typescript' -o -path '*/node_modules/jest' | grep -q . && exit 1; exit 0`;
      return system.docker('exec', image.Id, 'sh', '-c', look).trim() === service;
    });
  }
}

async function checkSystem(system) {
  const administrator = system.administrator();
  const { call, logIn, newUser } = client(system);
  await check('only the gateway and the trace pages are published, on this machine alone', () => {
    const ids = system.docker('ps', '--quiet', '--filter', `label=com.docker.compose.project=${system.project}`);
    const ports = ids
      .trim()
      .split('\n')
      .flatMap((id) => system.docker('port', id).trim().split('\n'))
      .filter((port) => port !== '');
    return ports.length === 2 && ports.every((port) => port.includes('-> 127.0.0.1:'));
  });
  await check('the gateway has no way to the database', () => reach(system, 'gateway', 'postgres', 5432, false));
  await check('identity has no way to Redis', () => reach(system, 'identity', 'redis', 6379, false));
  await check('identity has a way to the database (control)', () => reach(system, 'identity', 'postgres', 5432, true));
  await check('a client without credentials is refused on the bus', () => {
    const attempt = `import { connect } from '@nats-io/transport-node';
      await connect({ servers: 'tls://nats:4222', tls: { caFile: '/run/prime-nest/ca.crt' }, reconnect: false, maxReconnectAttempts: 0 })
        .then(() => console.log('CONNECTED'), (error) => console.log(error.message));`;
    return /authoriz/i.test(inside(system, 'audit', attempt));
  });
  await check('what a client may expect (smoke)', () => void script('deploy/image/smoke.mjs', system.gatewayUrl));
  system.writeState(administrator);
  // What runs for the first time is compiled for the first time: a crowded machine may take longer than a call may.
  await check('a first sign-in and a first account', async () => {
    await newUser('first', (await logIn(administrator)).access_token);
  });
  await check('the guided tour, trace ids in three logs and the audit log included', () => {
    const output = run(process.execPath, ['scripts/demo.mjs'], { env: { PRIME_NEST_HOME: system.home }, quiet: true });
    return `${output.match(/\bok\b/g).length} steps`;
  });
  await check('the end-to-end suite, through the published gateway', () =>
    jestSays('tests', 'tests/main-job', { TEST_SYSTEM_HOME: system.home }),
  );
  await check('the servers of the tests, in containers (testcontainers)', () =>
    jestSays('testkit', 'libs/testkit', { ...system.images, TESTKIT_DOCKER: '1' }),
  );
  await check('traces of all services arrive', () =>
    eventually(async () => {
      const { data } = await (await fetch(`${system.jaegerUrl}/api/services`)).json();
      return services.every((service) => data.includes(service)) && data.join(', ');
    }, 30_000),
  );
  await check('no secret is in a log or in what `inspect` shows', () => {
    const volumes = [
      'gateway',
      'identity',
      'identity-owner',
      'rbac',
      'rbac-owner',
      'audit',
      'audit-owner',
      'provisioner',
      'cache',
      'database',
      'administrator',
      'roles',
    ];
    const mounts = volumes.flatMap((name) => ['-v', `${system.project}_secrets-${name}:/s/${name}:ro`]);
    // One line of each. Of a key in PEM the one that holds the private half, without its armour: a log writes line breaks
    // in another way.
    const line = `awk '!/-----/ { line[++n] = $0 } END { print line[n < 2 ? 1 : int(n / 2)] }'`;
    const list = `cd /s; for f in */*; do case $f in *.crt|*public-key|*/nkey|*/email|*.conf|*.env) ;; *) ${line} $f; esac; done`;
    const secrets = system.docker(
      'run',
      '--rm',
      '--user',
      '0',
      '--network',
      'none',
      '--entrypoint',
      'sh',
      ...mounts,
      'prime-nest/audit:0.1.0',
      '-c',
      list,
    );
    const values = secrets
      .split('\n')
      .map((line) => line.trim().slice(-40))
      .filter((line) => line.length >= 20);
    const ids = system
      .docker('ps', '--all', '--quiet', '--filter', `label=com.docker.compose.project=${system.project}`)
      .trim()
      .split('\n');
    const seen = ids
      .map(
        (id) =>
          system.docker('inspect', id) +
          run('sh', ['-c', `${process.env.DOCKER ?? 'docker'} logs ${id} 2>&1`], { quiet: true }),
      )
      .join('\n');
    const leaked = values.filter((value) => seen.includes(value));
    if (values.length < 20) throw new Error(`only ${values.length} secrets were looked for`);
    if (!seen.includes('/run/prime-nest/signing-key') || !seen.includes('"traceId"'))
      throw new Error('nothing was seen');
    if (leaked.length > 0) throw new Error(`${leaked.length} of ${values.length} secrets are visible`);
    return `${values.length} secrets, ${seen.length} characters`;
  });
  await check('a stopped gateway answers what it has begun', async () => {
    const body = { email: 'nobody@example.com', password: 'not a password of anybody' };
    const answers = Array.from({ length: 8 }, () =>
      call('POST', '/api/auth/login', { body }).then(
        ({ status }) => status,
        () => 0,
      ),
    );
    await new Promise((resolve) => setTimeout(resolve, 60));
    system.compose('stop', 'gateway');
    const statuses = await Promise.all(answers);
    system.compose('start', 'gateway');
    await isReady(system);
    // 0 is a request without an answer; 503 is one that a crowded identity did not get to.
    if (statuses.some((status) => ![401, 429, 503].includes(status))) throw new Error(`answers: ${statuses.join(' ')}`);
    return statuses.join(' ');
  });
  for (const part of ['nats', 'postgres', 'redis', 'rbac', 'identity', 'audit']) {
    await check(`comes back after ${part} was killed`, async () => {
      system.docker('kill', system.container(part));
      system.docker('start', system.container(part));
      const since = Date.now();
      await isReady(system);
      // One request through every service: signed in, decided, read from the log.
      await eventually(async () => {
        const token = (await logIn(administrator)).access_token;
        const answers = [await call('GET', '/api/users', { token }), await call('GET', '/api/audit/events', { token })];
        return answers.every(({ status }) => status === 200);
      });
      return `${((Date.now() - since) / 1000).toFixed(1)} s`;
    });
  }
  await check('a second start makes no new secrets', () => {
    system.compose('up', '--detach');
    return system.docker('logs', '--tail', '1', system.container('prepare')).includes('0 new secrets');
  });
  await check('a service of a route file behind the gateway', async () => {
    const { routeFileChecks } = await import('./routes.mjs');
    const checks = await routeFileChecks(system, administrator);
    for (const [name, holds] of Object.entries(checks)) await check(`a route file: ${name}`, () => holds);
  });
  await check('a restore from a backup', async () => {
    const { said, checks } = await restoreDrill(system, administrator);
    for (const line of said) console.log(`        ${line.replaceAll('\n', '\n        ')}`);
    for (const [name, holds] of Object.entries(checks)) await check(`after the restore: ${name}`, () => holds);
  });
}

/** Runs suites of this repository; answers jest's count, and throws with what failed. */
function jestSays(project, pattern, env) {
  const args = ['scripts/jest.mjs', project, `--testPathPatterns=${pattern}`];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 900_000,
  });
  const said = `${stdout}${stderr}`;
  if (status !== 0) throw new Error(said.split('\n').slice(-60).join('\n'));
  return /^Tests: +(.*)$/m.exec(said)?.[1] ?? 'passed';
}

/** Runs a module inside a service's container. */
function inside(system, service, code) {
  return system.docker('exec', system.container(service), 'node', '--input-type=module', '-e', code);
}

function reach(system, service, host, port, wanted) {
  const code = `import net from 'node:net';
    const socket = net.connect({ host: '${host}', port: ${port}, timeout: 2000 });
    for (const [event, text] of [['connect', 'OPEN'], ['error', 'CLOSED'], ['timeout', 'CLOSED']])
      socket.once(event, () => { console.log(text); process.exit(0); });`;
  return inside(system, service, code).trim() === (wanted ? 'OPEN' : 'CLOSED');
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UnavailableError)) throw error;
  console.log(`test:containers skipped: ${error.message}`);
}
