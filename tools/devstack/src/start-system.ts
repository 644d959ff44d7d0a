import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { BusUser } from '@prime-nest/contracts/bus';
import type { Env } from './folders.js';
import { busCredentials } from './nats-keys.js';
import type { BusCredentials } from './nats-keys.js';
import type { ServerName } from './servers.js';
import type { Replicas } from './service-plan.js';
import type { SystemState } from './state.js';
import type { Supervised } from './supervisor.js';
import { launchSystem } from './system.js';

export interface StartSystemOptions {
  /** A folder for its data; `stop` leaves it. */
  readonly home: string;
  /** Added to this process's environment: limits, the administrator, addresses of servers. */
  readonly env?: Env;
  readonly replicas?: Replicas;
  /** Default `any`: several systems run beside each other. */
  readonly ports?: 'fixed' | 'any';
  /** Where services find PostgreSQL, given its port: a way that a test can spoil. */
  readonly databasePort?: (port: number) => Promise<number>;
  /** Default true; false prints the steps to standard error. */
  readonly quiet?: boolean;
}

export interface ServiceControl {
  readonly pid: number | undefined;
  /** Resolves when the process has ended; the system then starts it again by itself, as after a crash. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** For SIGSTOP and SIGCONT: resolves at once. */
  signal(signal: NodeJS.Signals): void;
  /** Ends it, orderly; it stays down until `start`. */
  stop(): Promise<void>;
  /** Resolves when it is ready. */
  start(): Promise<void>;
  restart(): Promise<void>;
}

export interface RunningSystem {
  readonly gatewayUrl: string;
  readonly state: SystemState;
  /** One process: `rbac`, or with several `rbac-1`, `rbac-2`, … */
  service(name: string): ServiceControl;
  server(name: ServerName): ServiceControl;
  /** The JSON lines of one process, or of all processes of a service. */
  logs(name: string): string[];
  adminPassword(): Promise<string>;
  /** The nkey seed of an upstream of the route file that answers over NATS. */
  upstreamSeed(name: string): Promise<string>;
  /** What a connection of that user of the bus is made with. */
  busCredentials(user: BusUser): BusCredentials;
  stop(): Promise<void>;
}

/** The system that `npm start` runs, for a program: the same code, on ports of its own. */
export async function startSystem(options: StartSystemOptions): Promise<RunningSystem> {
  const print = options.quiet === false ? (text: string) => void process.stderr.write(`${text}\n`) : () => undefined;
  const system = await launchSystem({
    home: options.home,
    env: { ...process.env, ...options.env },
    replicas: options.replicas ?? {},
    ports: options.ports ?? 'any',
    databasePort: options.databasePort,
    observer: {
      step: (name, detail, ms) => print(`${name} ${detail} ${Math.round(ms)} ms`),
      note: print,
      line: () => undefined,
    },
  });
  const control = (supervised: Supervised | undefined, name: string): ServiceControl => {
    if (supervised === undefined)
      throw new Error(`no ${name} here; there are ${[...system.services.keys()].join(', ')}`);
    return {
      get pid() {
        return supervised.pid();
      },
      kill: (signal) => supervised.kill(signal),
      signal: (signal) => supervised.signal(signal),
      stop: () => supervised.stop(),
      start: () => supervised.start(),
      restart: () => supervised.restart(),
    };
  };
  return {
    gatewayUrl: system.state.gatewayUrl,
    state: system.state,
    service: (name) => control(system.services.get(name), name),
    server: (name) => control(system.servers.get(name), name),
    logs: (name) => system.logs.lines(name),
    adminPassword: () => readFile(system.secrets.adminPasswordFile, 'utf8'),
    upstreamSeed: (name) => readFile(path.join(options.home, 'secrets', `nkey-seed-${name}`), 'utf8'),
    busCredentials: (user) => busCredentials(user, system.state.natsUrl, system.secrets.nats),
    stop: () => system.stop(),
  };
}
