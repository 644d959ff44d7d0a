import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { natsConfig, type NatsConfigOptions } from '@prime-nest/devstack/nats-config';
import { dockerRung } from '@prime-nest/devstack/rungs';
import type { RunningServer } from '@prime-nest/devstack/server';
import type { GenericContainer, StartedTestContainer } from 'testcontainers';

/** Whether this run is asked to use containers (TESTKIT_DOCKER=1). Throws when it is and no engine answers in 2 s. */
export async function usesContainers(): Promise<boolean> {
  if (process.env['TESTKIT_DOCKER'] !== '1') return false;
  const found = await dockerRung('', process.env).detect();
  if (typeof found === 'string') throw new Error(`TESTKIT_DOCKER=1, but ${found}`);
  // Its cleaner is a container of its own, from an image that would have to be pulled; `stop` removes what we start.
  process.env['TESTCONTAINERS_RYUK_DISABLED'] ??= 'true';
  return true;
}

/** The images of the compose file's variables, so that a mirror or a stand-in serves both. */
const images = {
  postgres: process.env['POSTGRES_IMAGE'] ?? 'postgres:18-alpine',
  nats: process.env['NATS_IMAGE'] ?? 'nats:2.12-alpine',
  redis: process.env['REDIS_IMAGE'] ?? 'redis:8-alpine',
};

export async function containerPostgres(password: string): Promise<RunningServer> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const container = new GenericContainer(images.postgres)
    .withEnvironment({ POSTGRES_PASSWORD: password })
    .withCommand(['postgres', '-c', 'fsync=off', '-c', 'synchronous_commit=off', '-c', 'max_connections=300'])
    // The image starts the server once for its own set-up, on a socket alone, and then for good.
    .withWaitStrategy(Wait.forSuccessfulCommand('pg_isready --quiet --host=127.0.0.1 --username=postgres'));
  return started(container, {
    port: 0,
    containerPort: 5432,
    url: (port) => `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
  });
}

export interface ContainerPlace {
  /** 0 = any. */
  readonly port: number;
  /** Kept when the container is gone. */
  readonly dataDir: string;
}

export async function containerNats(
  place: ContainerPlace,
  users: Pick<NatsConfigOptions, 'users' | 'upstreams'>,
): Promise<RunningServer> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const config = natsConfig({ ...users, host: '0.0.0.0', port: 4222, storeDir: '/data/jetstream' });
  await writeFile(path.join(place.dataDir, 'nats.conf'), config);
  const container = new GenericContainer(images.nats)
    .withBindMounts([{ source: place.dataDir, target: '/data' }])
    .withCommand(['nats-server', '--config', '/data/nats.conf'])
    .withWaitStrategy(Wait.forLogMessage(/Server is ready/));
  return started(container, { port: place.port, containerPort: 4222, url: (port) => `nats://127.0.0.1:${port}` });
}

export async function containerRedis(port: number): Promise<RunningServer> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const container = new GenericContainer(images.redis)
    .withCommand(['redis-server', '--save', '', '--appendonly', 'no', '--protected-mode', 'no'])
    .withWaitStrategy(Wait.forLogMessage(/Ready to accept connections/));
  return started(container, { port, containerPort: 6379, url: (at) => `redis://127.0.0.1:${at}` });
}

interface Mapping {
  readonly port: number;
  readonly containerPort: number;
  readonly url: (port: number) => string;
}

async function started(container: GenericContainer, { port, containerPort, url }: Mapping): Promise<RunningServer> {
  const exposed = port === 0 ? containerPort : { container: containerPort, host: port };
  const running = await container.withExposedPorts(exposed).withStartupTimeout(120_000).start();
  const mapped = running.getMappedPort(containerPort);
  const pid = await mainProcess(running);
  return {
    url: url(mapped),
    port: mapped,
    pid: undefined,
    description: 'container',
    signal: (signal) => void process.kill(pid, signal),
    stop: async () => void (await running.stop()),
  };
}

/** Of this machine, so that a signal has arrived when sending it returns; the engine's own way takes its time. */
async function mainProcess(container: StartedTestContainer): Promise<number> {
  const { getContainerRuntimeClient } = await import('testcontainers');
  const client = await getContainerRuntimeClient();
  const { State } = await client.container.dockerode.getContainer(container.getId()).inspect();
  return State.Pid;
}
