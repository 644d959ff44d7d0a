import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Life } from './lifecycle.js';
import type { Logger } from './log.js';
import { renderMetrics } from './telemetry-metrics.js';

export type HealthChecks = Readonly<Record<string, () => Promise<void>>>;

export interface HealthOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly checks: HealthChecks;
  readonly log: Logger;
  /** Readiness turns negative when its stop begins; the server answers until the process ends. */
  readonly life?: Life;
}

export interface Health {
  readonly port: number;
  /** From here on readiness answers 503. */
  readonly drain: () => void;
  readonly close: () => Promise<void>;
}

const checkTimeoutMs = 1_000;

/**
 * Serves `/health/liveness` (200 while the process runs its event loop; it asks nobody, so an outage elsewhere cannot
 * get it killed) and `/health/readiness` (200 only while every check passes and no stop has begun; else 503 with the
 * names of the failing checks). A check that takes longer than a second fails. Reasons go to the log only. `/metrics`
 * is here as well: a port for the operator's own machines, never for the public.
 */
export async function startHealth({ host, port, checks, log, life }: HealthOptions): Promise<Health> {
  let isDraining = false;
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0];
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return send(response, 405, { status: 'method_not_allowed' });
    if (path === '/health/liveness') return send(response, 200, { status: 'alive' });
    if (path === '/metrics') return void sendMetrics(response, log);
    if (path !== '/health/readiness') return send(response, 404, { status: 'not_found' });
    if (isDraining) return send(response, 503, { status: 'draining', failing: [] });
    void readiness(checks, log).then((failing) => {
      send(response, failing.length === 0 ? 200 : 503, {
        status: failing.length === 0 ? 'ready' : 'not_ready',
        failing,
      });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const health: Health = {
    port: (server.address() as AddressInfo).port,
    drain: () => {
      isDraining = true;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
  life?.onDrain(health.drain);
  log.info({ host, port: health.port }, 'health.listening');
  return health;
}

/** Names of the checks that fail now, in the order they were given. */
export async function readiness(checks: HealthChecks, log: Logger): Promise<string[]> {
  const results = await Promise.all(
    Object.entries(checks).map(async ([name, check]) => {
      try {
        await within(checkTimeoutMs, check());
        return undefined;
      } catch (error) {
        log.warn({ check: name, err: error }, 'health.not_ready');
        return name;
      }
    }),
  );
  return results.filter((name) => name !== undefined);
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`no answer within ${String(ms)} ms`));
    }, ms);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    // The loser of the race may still fail; nobody listens to it any more.
    work.catch(() => undefined);
  }
}

async function sendMetrics(response: ServerResponse, log: Logger): Promise<void> {
  try {
    const { contentType, body } = await renderMetrics();
    response.writeHead(200, { 'content-type': contentType, 'cache-control': 'no-store' });
    response.end(body);
  } catch (error) {
    log.error({ err: error }, 'metrics.failed');
    send(response, 500, { status: 'failed' });
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(body));
}
