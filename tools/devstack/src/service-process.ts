import { access } from 'node:fs/promises';
import path from 'node:path';
import type { Env } from './folders.js';
import { spawnChild } from './process.js';
import type { Child, Exit } from './process.js';
import type { ServiceLogs } from './service-logs.js';
import { nodeArguments } from './services.js';
import type { ServiceName } from './services.js';
import type { Started } from './supervisor.js';
import { waitUntil } from './wait.js';

export interface ServiceProcess {
  readonly service: ServiceName;
  /** The service's name, with a number when there are several: `rbac-2`. */
  readonly name: string;
  /** Holds `dist/main.js` and the other programs. */
  readonly folder: string;
  readonly env: Env;
  readonly healthUrl: string;
  readonly logs: ServiceLogs;
}

const readyWithinMs = 60_000;

/** Starts one process of a service and waits until it says that it is ready. */
export async function startService({ name, folder, env, healthUrl, logs }: ServiceProcess): Promise<Started> {
  await requireProgram(folder, 'main');
  const recent: string[] = [];
  const child = spawnChild({
    name,
    command: process.execPath,
    args: nodeArguments(folder, 'main', env),
    cwd: folder,
    env,
    logFile: logs.file(name),
    onLine: (line) => {
      recent.push(line);
      if (recent.length > 20) recent.shift();
      logs.add(name, line);
    },
  });
  let exit: Exit | undefined;
  void child.exited.then((seen) => (exit = seen));
  try {
    await waitUntil(() => askReady(healthUrl), {
      deadlineMs: readyWithinMs,
      intervalMs: 50,
      what: `${name} to be ready`,
      failed: () => (exit === undefined ? undefined : new Error(`${name} ended while starting`)),
    });
  } catch (cause) {
    await child.stop('SIGTERM', 2000);
    throw new ServiceStartError(name, reason(cause), await child.exited, recent);
  }
  return running(child, Number(env['SHUTDOWN_TIMEOUT_MS'] ?? 10_000));
}

function running(child: Child, shutdownMs: number): Started {
  return {
    pid: child.pid,
    exited: child.exited,
    signal: (signal) => child.signal(signal),
    // The service ends itself at its own deadline; two seconds later it is overdue.
    stop: async () => void (await child.stop('SIGTERM', shutdownMs + 2000)),
  };
}

/** Runs a service's `migrate` or `seed` to its end. Its output goes to the service's log. */
export async function runProgram(
  program: 'migrate' | 'seed',
  { service, folder, env, logs }: Pick<ServiceProcess, 'service' | 'folder' | 'env' | 'logs'>,
): Promise<void> {
  await requireProgram(folder, program);
  const recent: string[] = [];
  const child = spawnChild({
    name: `${service} ${program}`,
    command: process.execPath,
    args: nodeArguments(folder, program, env),
    cwd: folder,
    env,
    logFile: logs.file(service),
    onLine: (line) => {
      recent.push(line);
      if (recent.length > 20) recent.shift();
      logs.add(service, line);
    },
  });
  const exit = await child.exited;
  if (exit.code !== 0) throw new ServiceStartError(`${service} ${program}`, 'failed', exit, recent);
}

/** A service's program ended, or never became ready; the message holds its last lines. */
export class ServiceStartError extends Error {
  override readonly name = 'ServiceStartError';
  constructor(what: string, why: string, exit: Exit, lines: readonly string[]) {
    const how = exit.reason ?? `exit ${exit.code ?? exit.signal}`;
    super([`${what}: ${why} (${how}). Its last lines:`, ...lines.map((line) => `  ${line}`)].join('\n'));
  }
}

async function askReady(url: string): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
  const body = await response.text();
  if (!response.ok) throw new Error(`${url} answers ${response.status}: ${body.slice(0, 300)}`);
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

async function requireProgram(folder: string, program: string): Promise<void> {
  const file = path.join(folder, 'dist', `${program}.js`);
  await access(file).catch((cause: unknown) => {
    throw new Error(`${path.relative(process.cwd(), file)} does not exist: run npm run build`, { cause });
  });
}
