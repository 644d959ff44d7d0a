import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { baseImages, findEngine, root, run } from './engine.mjs';

export const services = ['gateway', 'identity', 'rbac', 'audit'];

/** The compose file as a system of its own: own project, own ports, nothing left behind after `down`. */
export async function composeSystem() {
  const { docker, compose } = findEngine();
  const project = `prime-nest-check-${process.pid}`;
  const [port, jaegerPort] = [await freePort(), await freePort()];
  const bases = baseImages(docker);
  const home = mkdtempSync(path.join(tmpdir(), 'prime-nest-containers-'));
  const env = {
    ...bases,
    COMPOSE_PROJECT_NAME: project,
    PORT: String(port),
    JAEGER_UI_PORT: String(jaegerPort),
    RATE_LIMIT_ANONYMOUS_MAX: '100000',
    RATE_LIMIT_PRINCIPAL_MAX: '100000',
    PRIME_NEST_ROUTES: path.join(home, 'routes'),
  };
  // The classic builder works with every client; BuildKit needs a plug-in that is not always there.
  if (compose.length === 1) env.DOCKER_BUILDKIT = '0';
  const [program, ...first] = compose;
  const volumes = new Set();
  const composed = (...args) => {
    // Whatever this does to containers, what they had is known by then.
    if (args[0] !== 'ps') for (const volume of volumesOf(docker, project)) volumes.add(volume);
    return run(program, [...first, ...args], { env, quiet: true, timeout: 1_500_000 });
  };
  const container = (service) => composed('ps', '--quiet', service).trim().split('\n')[0];
  const followers = [];

  return {
    docker: (...args) => run(docker, args, { quiet: true }),
    compose: composed,
    container,
    project,
    home,
    images: env,
    gatewayUrl: `http://127.0.0.1:${port}`,
    jaegerUrl: `http://127.0.0.1:${jaegerPort}`,
    /** Address and password of the first administrator. */
    administrator() {
      const [email, password] = composed('run', '--rm', 'administrator').trim().split(/\s+/).slice(-2);
      return { email, password };
    },
    /** What tools find a running system by, with each service's log beside it. */
    writeState({ email, password }) {
      const logs = path.join(home, 'logs');
      mkdirSync(logs, { recursive: true });
      writeFileSync(path.join(home, 'admin-password'), password);
      const state = {
        gatewayUrl: this.gatewayUrl,
        adminEmail: email,
        adminPasswordFile: path.join(home, 'admin-password'),
      };
      writeFileSync(path.join(home, 'state.json'), JSON.stringify(state));
      for (const service of services) {
        // Straight into the file: checks that wait for another process keep this one from copying.
        const log = openSync(path.join(logs, `${service}.log`), 'a');
        const follower = spawn(docker, ['logs', '--follow', container(service)], { stdio: ['ignore', log, 'ignore'] });
        followers.push(follower);
      }
    },
    down() {
      for (const follower of followers) follower.kill();
      composed('down', '--volumes', '--remove-orphans', '--timeout', '20');
      for (const volume of volumes) spawnSync(docker, ['volume', 'rm', volume], { stdio: 'ignore' });
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/**
 * Volumes of the project's containers. Those that an image asks for have no name, and compose hands them on when it makes a
 * container again: the engine then takes them for somebody's own, and neither `down --volumes` nor `rm -v` ends them.
 */
function volumesOf(docker, project) {
  const label = `label=com.docker.compose.project=${project}`;
  const ids = run(docker, ['ps', '--all', '--quiet', '--filter', label], { quiet: true }).split('\n').filter(Boolean);
  if (ids.length === 0) return [];
  const mounts = JSON.parse(run(docker, ['inspect', ...ids], { quiet: true })).flatMap(({ Mounts }) => Mounts);
  return [...new Set(mounts.filter(({ Type, Name }) => Type === 'volume' && Name).map(({ Name }) => Name))];
}

/** Repeats until it holds; throws what was last wrong after the deadline. */
export async function eventually(attempt, deadlineMs = 60_000) {
  const until = Date.now() + deadlineMs;
  for (;;) {
    try {
      const found = await attempt();
      if (found) return found;
      if (Date.now() > until) throw new Error('did not come true in time');
    } catch (error) {
      if (Date.now() > until) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

export const script = (file, ...args) => run(process.execPath, [path.join(root, file), ...args], { quiet: true });
