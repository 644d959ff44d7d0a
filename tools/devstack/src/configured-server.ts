import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { asOwner, startContainer } from './docker.js';
import { makeFolder } from './folders.js';
import type { Source } from './ladder.js';
import type { StartOptions } from './postgres-server.js';
import { serverEnv, spawnChild } from './process.js';
import { externalServer, greets, launch } from './server.js';
import type { RunningServer } from './server.js';

/** Where a server listens and what folder is its own, as it sees that itself. */
export interface ServerPlace {
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
}

/** A server that takes one configuration file and says something as soon as it can be used. */
export interface ConfiguredServer {
  readonly name: string;
  /** The port that it has unless told otherwise, and in a container. */
  readonly usualPort: number;
  /** The variable that names one that is running already. */
  readonly urlVariable: string;
  readonly configName: string;
  configText(place: ServerPlace): string;
  args(configFile: string): string[];
  /** Before its own arguments, in a container. */
  readonly containerCommand: readonly string[];
  readonly greeting: { readonly send: string; readonly expect: RegExp };
  url(port: number): string;
  readonly stopTimeoutMs: number;
}

/**
 * Starts the server on 127.0.0.1 with its files in `dataDir` alone, by a program of this machine or in a container. One
 * named by a URL is somebody else's: it is looked at and left as it is.
 */
export async function startConfigured(
  server: ConfiguredServer,
  source: Source,
  options: StartOptions,
): Promise<RunningServer> {
  const { name, usualPort } = server;
  if (source.kind === 'url') return externalServer(source.url, usualPort, `${name} (${server.urlVariable})`);
  const { dataDir } = options;
  await makeFolder(dataDir, 0o700);
  const env = options.env ?? process.env;
  const logFile = options.logFile ?? `${dataDir}.log`;
  const configFile = path.join(dataDir, server.configName);
  const write = (place: ServerPlace) => writeFile(configFile, server.configText(place), { mode: 0o600 });
  const ready = (port: number) => greets(port, server.greeting.send, server.greeting.expect);
  if (source.kind === 'docker') {
    await write({ host: '0.0.0.0', port: usualPort, dataDir: '/data' });
    return startContainer(source, {
      ...{ name, port: options.port, containerPort: usualPort, env, logFile, ready },
      options: ['-v', `${dataDir}:/data`, ...asOwner()],
      command: [...server.containerCommand, ...server.args(`/data/${server.configName}`)],
      url: (port) => server.url(port),
    });
  }
  const { child, port, busy } = await launch({
    name: `${name} server`,
    port: options.port,
    start: async (at) => {
      await write({ host: '127.0.0.1', port: at, dataDir });
      const args = server.args(configFile);
      return spawnChild({ name, command: source.path, args, cwd: dataDir, env: serverEnv, logFile });
    },
    ready,
  });
  return {
    url: server.url(port),
    port,
    pid: child.pid,
    description: `${name} ${source.version} (${source.rung})`,
    ...(busy === undefined ? {} : { busyPort: busy }),
    exited: child.exited,
    signal: (signal) => child.signal(signal),
    stop: async () => void (await child.stop('SIGTERM', server.stopTimeoutMs)),
  };
}
