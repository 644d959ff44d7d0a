import path from 'node:path';
import { startConfigured } from './configured-server.js';
import type { ConfiguredServer } from './configured-server.js';
import { climb } from './ladder.js';
import type { Ladder } from './ladder.js';
import type { StartOptions } from './postgres-server.js';
import { cacheRung, debianRung, dockerRung, pathRung, urlRung, variableRung, versionProbe } from './rungs.js';
import type { RungContext } from './rungs.js';
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
  const server = natsServer(options.configText ?? openConfig);
  return climb(ladder, (source) => startConfigured(server, source, options));
}

function natsServer(configText: (place: NatsPlace) => string): ConfiguredServer {
  return {
    name: 'NATS',
    usualPort: 4222,
    urlVariable: 'NATS_URL',
    configName: 'nats.conf',
    configText: ({ host, port, dataDir }) => configText({ host, port, storeDir: path.join(dataDir, 'jetstream') }),
    args: (configFile) => ['--config', configFile],
    containerCommand: [],
    greeting: { send: '', expect: /^INFO \{/ },
    url: (port) => `nats://127.0.0.1:${port}`,
    stopTimeoutMs: 10_000,
  };
}

/** Without users: for a test of the server itself, never for the system. */
function openConfig({ host, port, storeDir }: NatsPlace): string {
  return `listen: "${host}:${port}"\njetstream { store_dir: ${JSON.stringify(storeDir)} }\n`;
}
