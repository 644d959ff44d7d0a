import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { Agent, get } from 'node:http';
import { once } from 'node:events';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@prime-nest/testkit/eventually';
import { runFolder } from '@prime-nest/testkit/test-run';
import { allowOnly, newUser, startServers } from '../test/harness.js';
import type { Servers } from '../test/harness.js';
import { audience, issuer } from '../test/tokens.js';

let servers: Servers;
let spoolFolder: string;
const program = fileURLToPath(new URL('../dist/main.js', import.meta.url));

beforeAll(async () => {
  servers = await startServers();
  allowOnly(servers.peers, ['rbac:view']);
  spoolFolder = await runFolder('spool');
});
afterAll(async () => {
  await servers?.stop();
});

interface Started {
  readonly child: ChildProcess;
  readonly lines: string[];
  readonly exited: Promise<number | null>;
}

function start(env: Record<string, string>): Started {
  const child = spawn(process.execPath, [program], {
    env: {
      NODE_ENV: 'development',
      HOST: '127.0.0.1',
      PORT: '0',
      NATS_URL: servers.nats.servers,
      NATS_NKEY_SEED: servers.nats.seed('gateway'),
      REDIS_URL: servers.redis.url,
      TOKEN_ISSUER: issuer,
      TOKEN_AUDIENCE: audience,
      RATE_LIMIT_PRINCIPAL_MAX: '1000000',
      GATEWAY_SPOOL_DIR: spoolFolder,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  const keep = (data: Buffer) => void lines.push(...data.toString().split('\n'));
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  return { child, lines, exited };
}

async function portOf({ lines }: Started): Promise<number> {
  return eventually(() => {
    const line = lines.find((text) => text.includes('http.listening'));
    if (line === undefined) throw new Error(`not listening yet: ${lines.join(' ')}`);
    return Number(new URL((JSON.parse(line) as { url: string }).url).port);
  });
}

type Outcome = 'answered' | 'refused' | 'lost';

function ask(port: number, agent: Agent, headers: Record<string, string>): Promise<Outcome> {
  return new Promise((resolve) => {
    const request = get({ port, host: '127.0.0.1', path: '/api/roles', agent, headers }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode === 200 && response.complete ? 'answered' : 'lost'));
      response.on('error', () => resolve('lost'));
    });
    // Refused before a byte was sent: another gateway takes it.
    request.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED' ? 'refused' : 'lost'));
  });
}

describe('a gateway that is told to stop', () => {
  test('loses no request of a balancer that asks for readiness, closes kept connections, and exits with 0', async () => {
    servers.peers.answer('rbac.role.list.v1', async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return { data: [], total: 0 };
    });
    const started = start({});
    const port = await portOf(started);
    const isReady = async () => (await fetch(`http://127.0.0.1:${port}/health/readiness`)).status === 200;
    await eventually(isReady);
    const { headers } = newUser(servers.key);
    const agent = new Agent({ keepAlive: true, maxSockets: 24 });
    const outcomes: Outcome[] = [];
    let isInRotation = true;
    const callers = Array.from({ length: 24 }, async () => {
      while (isInRotation) outcomes.push(await ask(port, agent, headers));
    });
    await eventually(() => outcomes.length > 200);
    started.child.kill('SIGTERM');
    await eventually(async () => !(await isReady()), { deadlineMs: 400, intervalMs: 50 });
    const whenUnready = outcomes.length;
    await eventually(() => outcomes.length > whenUnready + 24);
    isInRotation = false;
    await Promise.all(callers);
    expect(await started.exited).toBe(0);
    agent.destroy();
    expect(new Set(outcomes)).toEqual(new Set(['answered']));
  });

  test('does not wait for a client that never takes its answer', async () => {
    const started = start({ DRAIN_DELAY_MS: '0' });
    const port = await portOf(started);
    const socket = connect(port, '127.0.0.1');
    socket.pause();
    socket.on('error', () => undefined);
    const line = 'GET /api/docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n';
    socket.write(line.repeat(20));
    // It has been served up to where it stopped reading.
    await eventually(() => started.lines.some((text) => text.includes('http.served')));
    started.child.kill('SIGTERM');
    expect(await started.exited).toBe(0);
    socket.destroy();
  });

  test('twice exits at once', async () => {
    const started = start({ DRAIN_DELAY_MS: '5000' });
    await portOf(started);
    started.child.kill('SIGTERM');
    await eventually(() => started.lines.some((line) => line.includes('service.stopping')));
    started.child.kill('SIGTERM');
    expect(await started.exited).toBe(130);
  });
});

describe('a gateway that is configured wrongly', () => {
  test('says everything that is wrong and exits with 78', async () => {
    const { lines, exited } = start({ NODE_ENV: 'production', ALLOWED_ORIGINS: 'http://app.example.com', PORT: 'x' });
    expect(await exited).toBe(78);
    const text = lines.join('\n');
    for (const name of ['ALLOWED_ORIGINS', 'PORT', 'NATS_URL']) expect(text).toContain(name);
    expect(text).not.toContain('example.com');
  });
});
