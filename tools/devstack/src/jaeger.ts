import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { serverUser } from './folders.js';
import type { Env } from './folders.js';
import { choosePort, freePort } from './ports.js';
import { serverEnv, spawnChild } from './process.js';
import type { Child } from './process.js';
import { waitUntil } from './wait.js';

const run = promisify(execFile);

export interface Jaeger {
  readonly uiUrl: string;
  /** Takes OTLP over HTTP. */
  readonly otlpUrl: string;
  readonly description: string;
  readonly pid: number;
  stop(): Promise<void>;
}

const image = 'jaegertracing/jaeger:2.15.0';
const wantedUiPort = 16_686;

type Source =
  { readonly kind: 'v1' | 'v2'; readonly file: string } | { readonly kind: 'docker'; readonly image: string };

/**
 * A Jaeger with its traces in memory: `JAEGER_BIN` (2.x, or 1.x all-in-one), `jaeger` on PATH, or the container image
 * when Docker has it already; nothing is fetched. Undefined when there is none, or when it does not start: traces are
 * then kept by the launcher alone. Throws only when `JAEGER_BIN` was given and does not work.
 */
export async function startJaeger(env: Env, folder: string): Promise<Jaeger | undefined> {
  const isWanted = env['JAEGER_BIN'] !== undefined && env['JAEGER_BIN'] !== '';
  const source = await find(env);
  if (source === undefined) {
    if (isWanted) throw new Error(`JAEGER_BIN=${env['JAEGER_BIN']} does not run`);
    return undefined;
  }
  try {
    return await start(source, env, folder);
  } catch (error) {
    if (isWanted) throw error;
    return undefined;
  }
}

async function find(env: Env): Promise<Source | undefined> {
  const given = env['JAEGER_BIN'];
  if (given !== undefined && given !== '') return binary(path.resolve(given));
  const onPath = await binary('jaeger');
  if (onPath !== undefined) return onPath;
  const hasImage = await run('docker', ['image', 'inspect', image], { timeout: 3000 }).catch(() => undefined);
  return hasImage === undefined ? undefined : { kind: 'docker', image };
}

async function binary(file: string): Promise<Source | undefined> {
  const seen = await run(file, ['help'], { timeout: 10_000 }).catch(() => undefined);
  if (seen === undefined) return undefined;
  const text = seen.stdout + seen.stderr;
  if (!/jaeger/i.test(text)) return undefined;
  return { kind: text.includes('--collector.otlp') ? 'v1' : 'v2', file };
}

async function start(source: Source, env: Env, folder: string): Promise<Jaeger> {
  const ui = (await choosePort(wantedUiPort)).port;
  const otlp = await freePort();
  const logFile = path.join(folder, 'jaeger.log');
  const child = await spawnJaeger(source, { ui, otlp, folder, logFile, env });
  const uiUrl = `http://127.0.0.1:${ui}`;
  try {
    await waitUntil(
      async () => {
        const [query, collector] = await Promise.all([fetch(`${uiUrl}/api/services`), exportNothing(otlp)]);
        if (!query.ok || !collector.ok) throw new Error('not ready');
      },
      {
        deadlineMs: 30_000,
        what: 'Jaeger to answer',
        failed: () => (child.running() ? undefined : new Error(child.tail(5))),
      },
    );
  } catch (error) {
    await child.stop('SIGKILL', 1000);
    throw error;
  }
  return {
    uiUrl,
    otlpUrl: `http://127.0.0.1:${otlp}`,
    description: `Jaeger (${source.kind === 'docker' ? source.image : source.file})`,
    pid: child.pid,
    stop: async () => void (await child.stop('SIGTERM', 5000)),
  };
}

function exportNothing(port: number): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return fetch(`http://127.0.0.1:${port}/v1/traces`, { method: 'POST', headers, body: '{"resourceSpans":[]}' });
}

interface Place {
  readonly ui: number;
  readonly otlp: number;
  readonly folder: string;
  readonly logFile: string;
  readonly env: Env;
}

async function spawnJaeger(source: Source, place: Place): Promise<Child> {
  const { ui, otlp, folder, logFile, env } = place;
  if (source.kind === 'docker') {
    const ports = ['-p', `127.0.0.1:${ui}:16686`, '-p', `127.0.0.1:${otlp}:4318`];
    const args = ['run', '--rm', '--label', 'prime-nest=devstack', ...ports, source.image];
    return spawnChild({ name: 'jaeger', command: 'docker', args, env, logFile });
  }
  const args = source.kind === 'v1' ? await flags(ui, otlp) : ['--config', await configuration(folder, ui, otlp)];
  const user = source.file.startsWith('/usr') ? serverUser() : undefined;
  return spawnChild({ name: 'jaeger', command: source.file, args, env: serverEnv, user, logFile });
}

/** Every listener of the 1.x all-in-one on loopback and on a port of its own. */
async function flags(ui: number, otlp: number): Promise<string[]> {
  const any = async (): Promise<string> => `127.0.0.1:${await freePort()}`;
  return [
    `--query.http-server.host-port=127.0.0.1:${ui}`,
    `--query.grpc-server.host-port=${await any()}`,
    `--collector.otlp.enabled=true`,
    `--collector.otlp.http.host-port=127.0.0.1:${otlp}`,
    `--collector.otlp.grpc.host-port=${await any()}`,
    `--collector.http-server.host-port=${await any()}`,
    `--collector.grpc-server.host-port=${await any()}`,
    `--admin.http.host-port=${await any()}`,
    '--memory.max-traces=20000',
  ];
}

async function configuration(folder: string, ui: number, otlp: number): Promise<string> {
  const file = path.join(folder, 'jaeger.yaml');
  const grpc = await freePort();
  const text = `service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: { receivers: [otlp], processors: [batch], exporters: [jaeger_storage_exporter] }
  telemetry: { metrics: { level: none } }
extensions:
  jaeger_storage: { backends: { kept: { memory: { max_traces: 20000 } } } }
  jaeger_query:
    storage: { traces: kept }
    http: { endpoint: '127.0.0.1:${ui}' }
    grpc: { endpoint: '127.0.0.1:${grpc}' }
receivers: { otlp: { protocols: { http: { endpoint: '127.0.0.1:${otlp}' } } } }
processors: { batch: {} }
exporters: { jaeger_storage_exporter: { trace_storage: kept } }
`;
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}
