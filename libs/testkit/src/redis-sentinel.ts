import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { climb } from '@prime-nest/devstack/ladder';
import { serverEnv, spawnChild } from '@prime-nest/devstack/process';
import { redisLadder } from '@prime-nest/devstack/provider-redis';
import { greets, launch } from '@prime-nest/devstack/server';
import { controllable } from './controllable.js';
import type { TestServer } from './controllable.js';
import { runFolder } from './test-run.js';

/** The name under which the Sentinels know their primary. */
const name = 'primary';
const password = 'test-only-sentinels';

export interface TestSentinels {
  /** Addresses of the Sentinels with the password of all servers, as `REDIS_URL` takes them. */
  readonly url: string;
  readonly name: string;
  /** The first is the primary when this begins; the others replicate it. */
  readonly servers: readonly TestServer[];
  /** Each of them would be enough to ask; two have to agree before a primary is replaced. */
  readonly sentinels: readonly TestServer[];
  /** Of one server itself, whoever is primary. */
  urlOf(server: TestServer): string;
  stop(): Promise<void>;
}

/**
 * A Redis of this test file's own with two replicas and three Sentinels, that begin to replace a primary when it has
 * been silent for a second. Needs the program itself: what is started by URL or in a container is no use here.
 */
export async function startTestSentinels(): Promise<TestSentinels> {
  const program = await redisProgram();
  const folder = await runFolder('redis-sentinel');
  const started: TestServer[] = [];
  const start = async (label: string, lines: readonly string[], args: readonly string[] = []): Promise<TestServer> => {
    const server = await startOne({ program, folder: path.join(folder, label), lines, args });
    started.push(server);
    return server;
  };
  const stop = async (): Promise<void> => void (await Promise.all(started.map((server) => server.stop())));
  try {
    const access = [`requirepass ${password}`, `masterauth ${password}`, 'save ""', 'repl-diskless-sync-delay 0'];
    const primary = await start('redis-1', access);
    const following = [...access, `replicaof 127.0.0.1 ${primary.port}`];
    const replicas = [await start('redis-2', following), await start('redis-3', following)];
    const watching = [
      `requirepass ${password}`,
      `sentinel sentinel-pass ${password}`,
      `sentinel monitor ${name} 127.0.0.1 ${primary.port} 2`,
      `sentinel auth-pass ${name} ${password}`,
      `sentinel down-after-milliseconds ${name} 1000`,
      `sentinel failover-timeout ${name} 3000`,
    ];
    const sentinels: TestServer[] = [];
    for (const label of ['sentinel-1', 'sentinel-2', 'sentinel-3'])
      sentinels.push(await start(label, watching, ['--sentinel']));
    return {
      url: `redis://:${password}@${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
      name,
      servers: [primary, ...replicas],
      sentinels,
      urlOf: ({ port }) => `redis://:${password}@127.0.0.1:${port}`,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function redisProgram(): Promise<string> {
  const ladder = redisLadder({ env: { ...process.env, REDIS_URL: undefined }, announce: () => undefined });
  const source = await climb(ladder, (one) => Promise.resolve(one));
  if (source.kind !== 'binary') throw new Error('Sentinels need the program redis-server; set REDIS_SERVER_BIN to it');
  return source.path;
}

interface One {
  readonly program: string;
  readonly folder: string;
  readonly lines: readonly string[];
  readonly args: readonly string[];
}

/** A Sentinel, and a server that changed sides, write into their configuration; a restart goes on with it. */
async function startOne({ program, folder, lines, args }: One): Promise<TestServer> {
  await mkdir(folder, { mode: 0o700 });
  const configFile = path.join(folder, 'redis.conf');
  const logFile = path.join(folder, 'log');
  return controllable(async (wanted) => {
    const { child, port } = await launch({
      name: 'Redis server',
      port: wanted,
      start: async (at) => {
        const place = ['bind 127.0.0.1', `port ${at}`, `dir ${JSON.stringify(folder)}`];
        if (wanted === 0) await writeFile(configFile, [...place, ...lines, ''].join('\n'), { mode: 0o600 });
        const command = { command: program, args: [configFile, ...args] };
        return spawnChild({ ...command, name: 'redis', cwd: folder, env: serverEnv, logFile });
      },
      ready: (at) => greets(at, 'PING\r\n', /^(\+PONG|-NOAUTH)/),
    });
    return {
      url: `redis://127.0.0.1:${port}`,
      port,
      pid: child.pid,
      description: 'Redis',
      exited: child.exited,
      signal: (signal) => child.signal(signal),
      stop: async () => void (await child.stop('SIGTERM', 5_000)),
    };
  });
}
