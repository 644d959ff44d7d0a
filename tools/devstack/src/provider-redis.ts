import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { asOwner, startContainer } from './docker.js';
import { makeFolder } from './folders.js';
import { climb } from './ladder.js';
import type { Ladder, Source } from './ladder.js';
import type { StartOptions } from './postgres-server.js';
import { serverEnv, spawnChild } from './process.js';
import { cacheRung, debianRung, dockerRung, pathRung, urlRung, variableRung, versionProbe } from './rungs.js';
import type { RungContext } from './rungs.js';
import { externalServer, greets, launch } from './server.js';
import type { RunningServer } from './server.js';

const debian = { name: 'redis-server', program: 'redis-server' };
const image = 'redis:7-alpine';
const probe = versionProbe('--version', /(?:Redis|Valkey) server v=(\S+)/);

export function redisLadder(context: RungContext): Ladder {
  const { env } = context;
  return {
    server: 'Redis server',
    rungs: [
      urlRung('REDIS_URL', env),
      variableRung('REDIS_SERVER_BIN', env, probe),
      pathRung('redis-server', () => context.knownFolders ?? ['/usr/sbin', '/opt/homebrew/bin'], env, probe),
      cacheRung(debian, env, probe),
      debianRung(debian, context, probe),
      dockerRung(image, env),
    ],
    advice: [
      'Debian/Ubuntu: sudo apt-get install redis-server',
      'macOS: brew install redis',
      'start Docker',
      'set REDIS_SERVER_BIN to the program, or REDIS_URL to a server',
    ],
  };
}

export interface StartRedisOptions extends StartOptions {
  /** Asked of every client when given: letters and digits. */
  readonly password?: string;
}

/**
 * A Redis on 127.0.0.1 that keeps nothing on disk: no safety property depends on what it holds. With `REDIS_URL` it
 * is that server, untouched.
 */
export async function startRedis(options: StartRedisOptions): Promise<RunningServer> {
  const env = options.env ?? process.env;
  const ladder = redisLadder({ env, announce: options.announce ?? (() => undefined) });
  return climb(ladder, (source) => start(source, options));
}

async function start(source: Source, options: StartRedisOptions): Promise<RunningServer> {
  if (source.kind === 'url') return externalServer(source.url, 6379, 'Redis (REDIS_URL)');
  await makeFolder(options.dataDir, 0o700);
  const env = options.env ?? process.env;
  const logFile = options.logFile ?? `${options.dataDir}.log`;
  const configFile = path.join(options.dataDir, 'redis.conf');
  const credentials = options.password === undefined ? '' : `:${options.password}@`;
  const url = (port: number): string => `redis://${credentials}127.0.0.1:${port}`;
  const ready = (port: number): Promise<void> => greets(port, 'PING\r\n', /^(\+PONG|-NOAUTH)/);
  const write = (host: string, port: number, folder: string): Promise<void> =>
    writeFile(configFile, redisConfig({ host, port, folder, password: options.password }), { mode: 0o600 });
  if (source.kind === 'docker') {
    await write('0.0.0.0', 6379, '/data');
    const mount = ['-v', `${options.dataDir}:/data`, ...asOwner()];
    return startContainer(source, {
      ...{ name: 'Redis', port: options.port, containerPort: 6379, env, logFile },
      ...{ options: mount, command: ['redis-server', '/data/redis.conf'], ready, url },
    });
  }
  const { child, port, busy } = await launch({
    name: 'Redis server',
    port: options.port,
    start: async (at) => {
      await write('127.0.0.1', at, options.dataDir);
      return spawnChild({
        ...{ name: 'redis', command: source.path, args: [configFile], cwd: options.dataDir },
        ...{ env: serverEnv, logFile },
      });
    },
    ready,
  });
  return {
    url: url(port),
    port,
    pid: child.pid,
    description: `Redis ${source.version} (${source.rung})`,
    ...(busy === undefined ? {} : { busyPort: busy }),
    exited: child.exited,
    signal: (signal) => child.signal(signal),
    stop: async () => void (await child.stop('SIGTERM', 5000)),
  };
}

interface RedisConfig {
  readonly host: string;
  readonly port: number;
  readonly folder: string;
  readonly password: string | undefined;
}

function redisConfig({ host, port, folder, password }: RedisConfig): string {
  const lines = [`bind ${host}`, `port ${port}`, `dir ${JSON.stringify(folder)}`, 'save ""', 'appendonly no'];
  if (password !== undefined) lines.push(`requirepass ${password}`);
  // A container publishes on loopback only, and the password (or its absence) is our own choice.
  if (host !== '127.0.0.1') lines.push('protected-mode no');
  return `${lines.join('\n')}\n`;
}
