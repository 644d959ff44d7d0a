import type { RunningSystem } from '@prime-nest/devstack/start-system';
import { freePort } from '@prime-nest/devstack/ports';
import { eventually } from '@prime-nest/testkit/eventually';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { openSlowLink, type SlowLink } from './slow-link.js';

export interface ExtraGateway {
  readonly url: string;
  /** Its way to NATS. */
  readonly link: SlowLink;
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  stop(): Promise<void>;
}

const program = fileURLToPath(new URL('../services/gateway/dist/main.js', import.meta.url));

/** One more gateway process of the system, whose way to NATS can be made slow. */
export async function startExtraGateway(system: RunningSystem): Promise<ExtraGateway> {
  const { servers, nkeySeed } = system.busCredentials('gateway');
  const link = await openSlowLink(Number(new URL(servers).port));
  const [port, metricsPort] = [await freePort(), await freePort()];
  const child = spawn(process.execPath, [program], {
    stdio: 'ignore',
    env: {
      PATH: process.env['PATH'],
      NODE_ENV: 'development',
      NATS_URL: `nats://127.0.0.1:${link.port}`,
      NATS_NKEY_SEED: nkeySeed.reveal(),
      REDIS_URL: system.state.redisUrl,
      GATEWAY_SPOOL_DIR: path.join(system.state.home, 'spool'),
      HOST: '127.0.0.1',
      PORT: String(port),
      METRICS_HOST: '127.0.0.1',
      METRICS_PORT: String(metricsPort),
      RATE_LIMIT_ANONYMOUS_MAX: '100000',
      RATE_LIMIT_PRINCIPAL_MAX: '1000000',
    },
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  const stop = async () => {
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await exited;
    link.close();
  };
  try {
    await eventually(async () => (await fetch(`${url}/health/readiness`).catch(() => undefined))?.status === 200, {
      deadlineMs: 90_000,
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, link, signal: (name) => void child.kill(name), stop };
}
