import path from 'node:path';
import { bootstrapDatabase, databaseUrl, serviceUrls } from './bootstrap.js';
import { busCredentials } from './nats-keys.js';
import { makeFolder, serverUser } from './folders.js';
import type { Env } from './folders.js';
import { prepareData } from './prepare-data.js';
import { provisionStreams } from './provision.js';
import { databaseName } from './roles-sql.js';
import { loadSecrets } from './secrets.js';
import type { Secrets } from './secrets.js';
import { serverNames, startServer } from './servers.js';
import type { ServerName, SystemServer } from './servers.js';
import { createServiceLogs } from './service-logs.js';
import type { ServiceLogs } from './service-logs.js';
import { startService } from './service-process.js';
import { planServices } from './service-plan.js';
import type { Replicas } from './service-plan.js';
import { serviceEnv } from './services.js';
import type { Surroundings } from './services.js';
import { claimHome, HomeTakenError, writeState } from './state.js';
import type { SystemState } from './state.js';
import { supervise } from './supervisor.js';
import type { Supervised } from './supervisor.js';
import { settleAll } from './settle-all.js';
import { SystemParts } from './system-parts.js';
import { startTracing } from './tracing.js';

/** Who watches a system come up and run. */
export interface Observer {
  /** A step is done. */
  readonly step: (name: string, detail: string, ms: number) => void;
  /** Something a person should know: a busy port, a fetch, a crash. */
  readonly note: (text: string) => void;
  /** A line that a service wrote. */
  readonly line: (name: string, line: string) => void;
}

export interface LaunchOptions {
  readonly home: string;
  readonly env: Env;
  readonly replicas: Replicas;
  readonly ports: 'fixed' | 'any';
  readonly observer: Observer;
  /** Where services find PostgreSQL, given its port: by default there. */
  readonly databasePort?: ((port: number) => Promise<number>) | undefined;
  /** Gives up between two steps; what was started is stopped. */
  readonly abort?: AbortSignal;
}

export interface LaunchedSystem {
  readonly state: SystemState;
  readonly secrets: Secrets;
  readonly services: ReadonlyMap<string, Supervised>;
  readonly servers: ReadonlyMap<ServerName, SystemServer>;
  readonly logs: ServiceLogs;
  /** Gateway first, then the services, then NATS, Redis and PostgreSQL. */
  stop(): Promise<void>;
  /** Ends every process at once, without a farewell. */
  killAll(): void;
}

/** The whole system, ready. When anything fails, what was started is stopped before the error is thrown. */
export async function launchSystem(options: LaunchOptions): Promise<LaunchedSystem> {
  const home = path.resolve(options.home);
  // As root PostgreSQL runs as nobody and has to pass through; what is secret in here has modes of its own.
  await makeFolder(home, serverUser() === undefined ? 0o700 : 0o711);
  const { holder } = await claimHome(home);
  if (holder !== undefined) throw new HomeTakenError(holder.pid);
  const logs = createServiceLogs(await makeFolder(path.join(home, 'logs'), 0o700), options.observer.line);
  const parts = new SystemParts(home, logs, options.observer);
  try {
    return await assemble({ ...options, home }, parts);
  } catch (error) {
    await parts.stop();
    throw error;
  }
}

async function assemble(options: LaunchOptions, parts: SystemParts): Promise<LaunchedSystem> {
  const { home, env, observer } = options;
  const step = async <T>(name: string, work: () => Promise<T>, detail?: (result: T) => string): Promise<T> => {
    options.abort?.throwIfAborted();
    const since = performance.now();
    const result = await work();
    observer.step(name, detail?.(result) ?? '', performance.now() - since);
    return result;
  };
  const secrets = await step('secrets', () => loadSecrets(home, env));
  const { events } = parts;
  const announce = observer.note;
  const [postgres, nats, redis] = (await settleAll(
    serverNames.map((name) =>
      step(
        name,
        async () =>
          parts.addServer(await startServer(name, { home, env, secrets, ports: options.ports, announce, events })),
        ({ description, port }) => `${description}  127.0.0.1:${port}`,
      ),
    ),
  )) as [SystemServer, SystemServer, SystemServer];

  const database = { database: databaseName, passwords: secrets.database };
  await settleAll([
    step(
      'database',
      () => bootstrapDatabase(postgres.url, database),
      () => `roles and schemas in ${databaseName}`,
    ),
    step('streams', () => provisionStreams(busCredentials('provisioner', nats.url, secrets.nats))),
  ]);

  const way = new URL(postgres.url);
  way.port = String((await options.databasePort?.(postgres.port)) ?? postgres.port);
  const databases = serviceUrls(way.href, database);
  const around: Surroundings = { home, natsUrl: nats.url, redisUrl: redis.url, databases };
  await prepareData({ step, around, secrets, env, logs: parts.logs });

  const tracing = await startTracing(home, env);
  parts.afterStop(() => tracing.stop());
  const servicesEnv = { ...env, ...tracing.env };
  const plan = await planServices(options, (service) => serviceEnv(service, around, secrets, servicesEnv));
  for (const busy of plan.busy) observer.note(busy);
  await settleAll(
    plan.processes.map((process) =>
      step(
        process.name,
        async () => {
          const start = (): ReturnType<typeof startService> => startService({ ...process, logs: parts.logs });
          parts.addService(process.service, await supervise(process.name, start, events));
        },
        () => `ready  ${process.healthUrl}`,
      ),
    ),
  );
  options.abort?.throwIfAborted();

  const state = (): SystemState => ({
    home,
    startedAt: parts.startedAt,
    gatewayUrl: plan.gatewayUrl,
    apiUrl: `${plan.gatewayUrl}/${env['API_PREFIX'] ?? 'api'}`,
    natsUrl: nats.url,
    databaseUrl: databaseUrl(postgres.url, databaseName),
    redisUrl: redis.url,
    adminEmail: secrets.adminEmail,
    adminPasswordFile: secrets.adminPasswordFile,
    pids: parts.pids(),
    ports: { ...plan.ports, postgres: postgres.port, nats: nats.port, redis: redis.port },
    health: Object.fromEntries(plan.processes.map(({ name, healthUrl }) => [name, healthUrl])),
    metrics: Object.fromEntries(plan.processes.map(({ name, metricsUrl }) => [name, metricsUrl])),
    ...(tracing.spansFolder === undefined ? {} : { spansFolder: tracing.spansFolder }),
    ...(tracing.jaeger === undefined ? {} : { jaegerUrl: tracing.jaeger.uiUrl }),
    servers: Object.fromEntries([postgres, nats, redis].map(({ name, description }) => [name, description])),
  });
  parts.onChange(() => writeState(state()));
  return parts.system(state(), secrets);
}
