import { startConfigured } from './configured-server.js';
import type { ConfiguredServer, ServerPlace } from './configured-server.js';
import { climb } from './ladder.js';
import type { Ladder } from './ladder.js';
import type { StartOptions } from './postgres-server.js';
import { cacheRung, debianRung, dockerRung, pathRung, urlRung, variableRung, versionProbe } from './rungs.js';
import type { RungContext } from './rungs.js';
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
  const server = redisServer(options.password);
  return climb(ladder, (source) => startConfigured(server, source, options));
}

function redisServer(password: string | undefined): ConfiguredServer {
  const credentials = password === undefined ? '' : `:${password}@`;
  return {
    name: 'Redis',
    usualPort: 6379,
    urlVariable: 'REDIS_URL',
    configName: 'redis.conf',
    configText: (place) => redisConfig(place, password),
    args: (configFile) => [configFile],
    containerCommand: ['redis-server'],
    greeting: { send: 'PING\r\n', expect: /^(\+PONG|-NOAUTH)/ },
    url: (port) => `redis://${credentials}127.0.0.1:${port}`,
    stopTimeoutMs: 5_000,
  };
}

function redisConfig({ host, port, dataDir }: ServerPlace, password: string | undefined): string {
  const lines = [`bind ${host}`, `port ${port}`, `dir ${JSON.stringify(dataDir)}`, 'save ""', 'appendonly no'];
  if (password !== undefined) lines.push(`requirepass ${password}`);
  // A container publishes on loopback only, and the password (or its absence) is our own choice.
  if (host !== '127.0.0.1') lines.push('protected-mode no');
  return `${lines.join('\n')}\n`;
}
