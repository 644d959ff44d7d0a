import { spawnSync } from 'node:child_process';
import path from 'node:path';

export const root = path.resolve(import.meta.dirname, '../..');
export const official = {
  NODE_IMAGE: 'node:24.21.0-bookworm-slim',
  RUNTIME_IMAGE: 'debian:bookworm-slim',
  POSTGRES_IMAGE: 'postgres:18-bookworm',
  NATS_IMAGE: 'nats:2.12-alpine',
  REDIS_IMAGE: 'redis:8-bookworm',
  JAEGER_IMAGE: 'jaegertracing/jaeger:2.15.0',
};

/** Why containers cannot be had here. */
export class UnavailableError extends Error {}

/** Runs a program; answers its output, or throws with what it said. */
export function run(command, args, { env = {}, input, timeout = 600_000, quiet = false } = {}) {
  const done = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    input,
    timeout,
    maxBuffer: 256e6,
    stdio: ['pipe', 'pipe', quiet ? 'pipe' : 'inherit'],
  });
  if (done.status === 0) return done.stdout;
  const said = `${done.stdout ?? ''}${done.stderr ?? ''}`.trim().split('\n').slice(-15).join('\n');
  throw new Error(
    `${command} ${args.slice(0, 6).join(' ')} …: ${done.error?.message ?? `exit ${done.status}`}\n${said}`,
  );
}

const works = (command, args, timeout = 10_000) => spawnSync(command, args, { timeout, stdio: 'ignore' }).status === 0;

/** The command-line client and compose of an engine that answers; throws an {@link UnavailableError} without one. */
export function findEngine() {
  // A newer client without its builder plug-in comes first on some paths; the distribution's own fits its engine.
  const docker = [process.env.DOCKER, '/usr/bin/docker', 'docker'].find((one) => one && works(one, ['version']));
  if (docker === undefined) throw new UnavailableError('no container engine answers');
  const compose = [[docker, 'compose'], ['docker-compose']].find(([one, ...rest]) => works(one, [...rest, 'version']));
  if (compose === undefined) throw new UnavailableError('there is no compose');
  return { docker, compose };
}

/** Base images: those named in the environment, the official ones when they can be had, else stand-ins made here. */
export function baseImages(docker) {
  if (process.env.NODE_IMAGE) return {};
  const has = (image) =>
    works(docker, ['image', 'inspect', image]) || works(docker, ['pull', '--quiet', image], 300_000);
  if (Object.values(official).every(has)) return {};
  if (!works('sh', ['-c', 'command -v debootstrap']))
    throw new UnavailableError('no image registry answers, and there is no debootstrap to make base images with');
  const output = run('bash', ['tests/deploy/containers/stand-ins.sh'], { env: { DOCKER: docker }, timeout: 1_200_000 });
  return Object.fromEntries([...output.matchAll(/^export (\w+)=(\S+)$/gm)].map(([, name, value]) => [name, value]));
}
