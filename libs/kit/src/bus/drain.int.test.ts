import { spawn } from 'node:child_process';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { RpcContracts } from '@prime-nest/contracts/rpc';
import { startNats } from '@prime-nest/devstack/provider-nats';
import { controllable } from '@prime-nest/testkit/controllable';
import type { TestServer } from '@prime-nest/testkit/controllable';
import { eventually } from '@prime-nest/testkit/eventually';
import { runFolder } from '@prime-nest/testkit/test-run';
import { z } from 'zod';
import { serviceContext } from '../context.js';
import { silentLogger } from '../log.js';
import { createBusClient } from './client.js';
import { busHealth, connectBus, drainBus } from './connection.js';
import { Listener } from './listener.js';

const contracts = {
  'demo.thing.work.v1': {
    request: z.strictObject({ ms: z.int() }),
    response: z.object({ pid: z.int() }),
    errors: [],
    timeoutMs: 5_000,
  },
} as const satisfies RpcContracts;

const fixture = path.resolve(import.meta.dirname, '..', '..', 'test-fixtures', 'demo-service.mjs');
const running = new Set<Replica>();
let nats: TestServer;

beforeAll(async () => {
  const dataDir = await runFolder('kit-drain');
  nats = await controllable((port) => startNats({ dataDir, port, env: { ...process.env, NATS_URL: undefined } }));
});
afterAll(async () => {
  // Of a test that failed some still run, and whoever waits for their output would wait for ever.
  await Promise.all([...running].map((replica) => replica.stop('SIGKILL')));
  await nats.stop();
});

interface Replica {
  readonly pid: number;
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

async function startReplica(): Promise<Replica> {
  const env = { ...process.env, NATS_URL: `nats://127.0.0.1:${String(nats.port)}` };
  const child = spawn(process.execPath, [fixture], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  let isReady = false;
  child.stdout.on('data', (chunk: Buffer) => {
    // The line may come in pieces, and with any number of others behind it: this replica is asked before it says so.
    output += chunk.toString();
    isReady ||= output.includes('health.listening');
    output = output.slice(-100);
  });
  const exit = new Promise<number | null>((resolve) => {
    child.on('close', (code) => {
      running.delete(replica);
      resolve(code);
    });
  });
  const replica: Replica = {
    pid: child.pid ?? 0,
    stop: (signal = 'SIGTERM') => {
      child.kill(signal);
      return exit;
    },
  };
  running.add(replica);
  await eventually(() => isReady);
  return replica;
}

/** Guards "SIGTERM loses no request": a deployment must be invisible to callers. */
test('rolling restarts of two replicas under load lose no request', async () => {
  const connection = await connectBus({
    servers: `nats://127.0.0.1:${String(nats.port)}`,
    name: 'caller',
    log: silentLogger(),
  });
  const client = createBusClient({ connection, contracts, log: silentLogger() });
  const context = serviceContext('caller');
  const replicas = [await startReplica(), await startReplica()];
  const servedBy = new Map<number, number>();
  const lost: unknown[] = [];
  let isDone = false;
  let sent = 0;
  const worker = async () => {
    while (!isDone) {
      sent++;
      try {
        const { pid } = await client.call('demo.thing.work.v1', { ms: 1 + (sent % 20) }, context);
        servedBy.set(pid, (servedBy.get(pid) ?? 0) + 1);
      } catch (error) {
        lost.push(error);
      }
    }
  };
  const workers = Array.from({ length: 48 }, worker);
  const exits: (number | null)[] = [];
  let lostBefore: number;
  let sentBefore: number;
  try {
    for (let round = 0; round < 4; round++) {
      const next = await startReplica();
      const old = replicas.shift();
      if (old === undefined) throw new Error('no replica');
      // It is working when it is told to stop, otherwise the round proves nothing.
      await eventually(() => (servedBy.get(old.pid) ?? 0) > 20);
      exits.push(await old.stop());
      replicas.push(next);
    }
    lostBefore = lost.length;
    sentBefore = sent;
    // The control: a replica that just dies does lose what it holds, so the load was real.
    const victim = replicas[0];
    await eventually(() => (servedBy.get(victim?.pid ?? 0) ?? 0) > 20);
    await victim?.stop('SIGKILL');
    await eventually(() => lost.length > lostBefore);
  } finally {
    // Without a bus a call fails at once: whoever goes on asking after a failed test fills the memory with errors.
    isDone = true;
  }
  await Promise.all(workers);
  exits.push((await replicas[1]?.stop()) ?? null);
  await connection.close();
  expect({ lostBefore, exits }).toEqual({ lostBefore: 0, exits: [0, 0, 0, 0, 0] });
  expect(servedBy.size).toBe(6);
  process.stdout.write(
    `requests through 4 graceful stops: ${String(sentBefore)}, lost: 0; by one kill: ${String(lost.length)}\n`,
  );
});

test('whoever has lost the bus stops at once, not when the next server is tried', async () => {
  const log = silentLogger();
  const connection = await connectBus({ servers: `nats://127.0.0.1:${String(nats.port)}`, name: 'lonely', log });
  const listener = new Listener({ connection, subject: 'demo.thing.work.v1', onMessage: () => undefined, log });
  await listener.start();
  try {
    await nats.kill();
    await eventually(() => !busHealth(connection).isConnected);
    // The control: a round trip begun now ends with the next attempt to connect, and not before.
    const roundTrip = connection.flush().then(
      () => 'answered',
      () => 'given up',
    );
    const stopped = listener.stop().then(() => 'stopped');
    expect(await Promise.race([roundTrip, stopped])).toBe('stopped');
    await drainBus(connection);
    expect([listener.isListening(), connection.isClosed()]).toEqual([false, true]);
  } finally {
    await connection.close();
    await nats.restart();
  }
});
