import path from 'node:path';
import type { Env } from './folders.js';
import { natsConfig } from './nats-config.js';
import { publicKeys } from './nats-keys.js';
import { startPostgres } from './postgres-server.js';
import { startNats } from './provider-nats.js';
import { startRedis } from './provider-redis.js';
import type { RunningServer } from './server.js';
import type { Secrets } from './secrets.js';
import { supervise } from './supervisor.js';
import type { Supervised, SupervisorEvents } from './supervisor.js';

export const serverNames = ['postgres', 'nats', 'redis'] as const;
export type ServerName = (typeof serverNames)[number];

/** Own ports beside the usual ones, so that nothing collides with servers that run here anyway. */
export const fixedPorts: Readonly<Record<ServerName, number>> = { postgres: 46432, nats: 46422, redis: 46379 };

export interface ServerOptions {
  readonly home: string;
  readonly env: Env;
  readonly secrets: Secrets;
  readonly ports: 'fixed' | 'any';
  readonly announce: (line: string) => void;
  readonly events: SupervisorEvents;
}

export interface SystemServer extends Supervised {
  readonly url: string;
  readonly port: number;
  readonly description: string;
}

/** Starts one server in the home and keeps it running on the port it got at first. */
export async function startServer(name: ServerName, options: ServerOptions): Promise<SystemServer> {
  let first: RunningServer | undefined;
  const supervised = await supervise(
    name,
    async () => {
      const wanted = first?.port ?? (options.ports === 'any' ? 0 : fixedPorts[name]);
      const server = await starters[name](options, wanted);
      if (first !== undefined && server.port !== first.port) {
        await server.stop();
        throw new Error(`port ${first.port} is taken`);
      }
      first ??= server;
      return server;
    },
    options.events,
  );
  if (first === undefined) throw new Error(`${name} was stopped while it was starting`);
  const { url, port, description, busyPort } = first;
  if (busyPort !== undefined) options.announce(`port ${busyPort} is busy: ${name} listens on ${port}`);
  return { ...supervised, url, port, description };
}

const starters: Readonly<Record<ServerName, (options: ServerOptions, port: number) => Promise<RunningServer>>> = {
  postgres: (options, port) => startPostgres({ ...placed('postgres', options, port), fast: false }),
  redis: (options, port) => startRedis({ ...placed('redis', options, port), password: options.secrets.redis }),
  nats: (options, port) =>
    startNats({
      ...placed('nats', options, port),
      configText: (place) =>
        natsConfig({ ...place, users: publicKeys(options.secrets.nats), upstreams: options.secrets.upstreams }),
    }),
};

function placed(name: ServerName, { home, env, announce }: ServerOptions, port: number) {
  return {
    dataDir: path.join(home, name),
    logFile: path.join(home, 'logs', `${name}.server.log`),
    port,
    env,
    announce,
  };
}
