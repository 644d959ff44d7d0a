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

const debian = { name: 'nats-server', program: 'nats-server' };
const image = 'nats:2.12-alpine';
const probe = versionProbe('--version', /nats-server: v(\S+)/);

export function natsLadder(context: RungContext): Ladder {
  const { env } = context;
  return {
    server: 'NATS server',
    rungs: [
      urlRung('NATS_URL', env),
      variableRung('NATS_SERVER_BIN', env, probe),
      pathRung('nats-server', () => context.knownFolders ?? ['/usr/sbin', '/opt/homebrew/bin'], env, probe),
      cacheRung(debian, env, probe),
      debianRung(debian, context, probe),
      dockerRung(image, env),
    ],
    advice: [
      'Debian/Ubuntu: sudo apt-get install nats-server',
      'macOS: brew install nats-server',
      'with Go: go install github.com/nats-io/nats-server/v2@latest',
      'start Docker',
      'set NATS_SERVER_BIN to the program, or NATS_URL to a server with the users of deploy/nats/nats.conf',
    ],
  };
}

export interface StartNatsOptions extends StartOptions {
  /** The server's configuration; it is given the place that was found for it. */
  readonly configText?: (place: NatsPlace) => string;
}

export interface NatsPlace {
  readonly host: string;
  readonly port: number;
  readonly storeDir: string;
}

/** A NATS server with JetStream on 127.0.0.1, its store in `dataDir`. With `NATS_URL` it is that server, untouched. */
export async function startNats(options: StartNatsOptions): Promise<RunningServer> {
  const env = options.env ?? process.env;
  const ladder = natsLadder({ env, announce: options.announce ?? (() => undefined) });
  return climb(ladder, (source) => start(source, options));
}

async function start(source: Source, options: StartNatsOptions): Promise<RunningServer> {
  if (source.kind === 'url') return externalServer(source.url, 4222, 'NATS (NATS_URL)');
  await makeFolder(options.dataDir, 0o700);
  const env = options.env ?? process.env;
  const logFile = options.logFile ?? `${options.dataDir}.log`;
  const configFile = path.join(options.dataDir, 'nats.conf');
  const write = (place: NatsPlace): Promise<void> =>
    writeFile(configFile, (options.configText ?? openConfig)(place), { mode: 0o600 });
  const ready = (port: number): Promise<void> => greets(port, '', /^INFO \{/);
  const url = (port: number): string => `nats://127.0.0.1:${port}`;
  if (source.kind === 'docker') {
    await write({ host: '0.0.0.0', port: 4222, storeDir: '/data/jetstream' });
    const options_ = ['-v', `${options.dataDir}:/data`, ...asOwner()];
    const command = ['--config', '/data/nats.conf'];
    return startContainer(source, {
      ...{ name: 'NATS', port: options.port, containerPort: 4222, env, logFile },
      ...{ options: options_, command, ready, url },
    });
  }
  const { child, port, busy } = await launch({
    name: 'NATS server',
    port: options.port,
    start: async (at) => {
      await write({ host: '127.0.0.1', port: at, storeDir: path.join(options.dataDir, 'jetstream') });
      return spawnChild({
        ...{ name: 'nats', command: source.path, args: ['--config', configFile], cwd: options.dataDir },
        ...{ env: serverEnv, logFile },
      });
    },
    ready,
  });
  return {
    url: url(port),
    port,
    pid: child.pid,
    description: `NATS ${source.version} (${source.rung})`,
    ...(busy === undefined ? {} : { busyPort: busy }),
    exited: child.exited,
    signal: (signal) => child.signal(signal),
    stop: async () => void (await child.stop('SIGTERM', 10_000)),
  };
}

/** Without users: for a test of the server itself, never for the system. */
function openConfig({ host, port, storeDir }: NatsPlace): string {
  return `listen: "${host}:${port}"\njetstream { store_dir: ${JSON.stringify(storeDir)} }\n`;
}
