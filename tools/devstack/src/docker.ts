import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import type { Env } from './folders.js';
import type { Source } from './ladder.js';
import { spawnChild } from './process.js';
import { launch } from './server.js';
import type { RunningServer } from './server.js';

const run = promisify(execFile);

export interface ContainerOptions {
  readonly name: string;
  readonly port: number;
  readonly containerPort: number;
  readonly env: Env;
  readonly logFile: string;
  /** Arguments before the image: variables (`-e NAME` without a value), volumes, user. */
  readonly options: readonly string[];
  readonly command: readonly string[];
  readonly ready: (port: number) => Promise<void>;
  readonly url: (port: number) => string;
}

/**
 * A container in the foreground of a `docker run` that is bound to our life: its end, by whatever cause, removes the
 * container. Published on loopback only, labelled.
 */
export async function startContainer(source: Source & { kind: 'docker' }, o: ContainerOptions): Promise<RunningServer> {
  const container = `prime-nest-${o.name}-${randomBytes(4).toString('hex')}`;
  const { child, port, busy } = await launch({
    name: o.name,
    port: o.port,
    deadlineMs: 180_000, // the image may have to be pulled
    start: (at) =>
      spawnChild({
        name: o.name,
        command: 'docker',
        args: [
          ...['run', '--rm', '--name', container, '--label', 'prime-nest=devstack'],
          ...['-p', `127.0.0.1:${at}:${o.containerPort}`, ...o.options, source.image, ...o.command],
        ],
        env: o.env,
        logFile: o.logFile,
      }),
    ready: o.ready,
  });
  return {
    url: o.url(port),
    port,
    pid: child.pid,
    description: `${o.name} (${source.version})`,
    ...(busy === undefined ? {} : { busyPort: busy }),
    exited: child.exited,
    signal: (signal) =>
      void run('docker', ['kill', '--signal', signal, container], { env: { ...process.env, ...o.env } }),
    stop: async () => void (await child.stop('SIGTERM', 15_000)),
  };
}

export interface ContainerPostgres {
  readonly dataDir: string;
  readonly port: number;
  readonly env: Env;
  readonly password: string;
  readonly fast: boolean;
  readonly logFile?: string;
}

export async function dockerPostgres(
  source: Source & { kind: 'docker' },
  o: ContainerPostgres,
): Promise<RunningServer> {
  await mkdir(o.dataDir, { recursive: true });
  const url = (port: number): string => `postgres://postgres:${o.password}@127.0.0.1:${port}/postgres`;
  return startContainer(source, {
    name: 'PostgreSQL',
    port: o.port,
    containerPort: 5432,
    env: { ...o.env, POSTGRES_PASSWORD: o.password },
    logFile: o.logFile ?? `${o.dataDir}.log`,
    options: ['-e', 'POSTGRES_PASSWORD', '-v', `${o.dataDir}:/var/lib/postgresql`],
    command: ['-c', 'max_connections=300', ...(o.fast ? ['-c', 'fsync=off'] : [])],
    ready: async (port) => {
      const client = new pg.Client({ connectionString: url(port), connectionTimeoutMillis: 2000 });
      await client.connect();
      await client.end();
    },
    url,
  });
}

/** The arguments that run a container as the user who owns the mounted folder. */
export function asOwner(): string[] {
  const uid = process.getuid?.();
  return uid === undefined ? [] : ['--user', `${uid}:${process.getgid?.() ?? uid}`];
}
