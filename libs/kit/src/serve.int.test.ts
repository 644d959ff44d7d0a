import 'reflect-metadata';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Controller, Module } from '@nestjs/common';
import type { RpcContracts } from '@prime-nest/contracts/rpc';
import { startNats } from '@prime-nest/devstack/provider-nats';
import { controllable } from '@prime-nest/testkit/controllable';
import type { TestServer } from '@prime-nest/testkit/controllable';
import { eventually } from '@prime-nest/testkit/eventually';
import { runFolder } from '@prime-nest/testkit/test-run';
import { z } from 'zod';
import { connectBus, drainBus } from './bus/connection.js';
import { createRpc } from './bus/server.js';
import type { Life } from './lifecycle.js';
import { createLogger, silentLogger } from './log.js';
import { serveRpc } from './serve.js';

const contract = { request: z.strictObject({}), response: z.object({ ok: z.boolean() }), errors: [], timeoutMs: 500 };
const contracts = { 'demo.thing.get.v1': contract } as const satisfies RpcContracts;
const Rpc = createRpc(contracts);

@Controller()
class Demo {
  @Rpc('demo.thing.get.v1')
  get(): Promise<{ ok: boolean }> {
    return Promise.resolve({ ok: true });
  }
}

@Module({ controllers: [Demo] })
class DemoModule {}

const life: Life = {
  configure: () => undefined,
  onStop: () => undefined,
  onDrain: () => undefined,
  isDraining: () => false,
};
const log = silentLogger();
let nats: TestServer;

beforeAll(async () => {
  const dataDir = await runFolder('kit-serve');
  nats = await controllable((port) => startNats({ dataDir, port, env: { ...process.env, NATS_URL: undefined } }));
});
afterAll(() => nats.stop());

const servers = () => `nats://127.0.0.1:${String(nats.port)}`;

describe('a service', () => {
  test('with a contract that nothing handles does not come up, and says which', async () => {
    const connection = await connectBus({ servers: servers(), name: 'demo', log });
    const more = { ...contracts, 'demo.thing.forgotten.v1': contract };
    await expect(
      serveRpc({ service: 'demo', module: DemoModule, connection, contracts: more, log, life }),
    ).rejects.toThrow('demo.thing.forgotten.v1');
    await connection.close();
  });

  test('with a handler that no contract describes does not come up', async () => {
    const connection = await connectBus({ servers: servers(), name: 'demo', log });
    await expect(
      serveRpc({ service: 'demo', module: DemoModule, connection, contracts: {}, log, life }),
    ).rejects.toThrow('demo.thing.get.v1');
    await connection.close();
  });

  test('started before NATS waits for it, says so, and serves when it is there', async () => {
    await nats.kill();
    const lines: string[] = [];
    const noisy = createLogger({ service: 'demo', level: 'info', destination: { write: (line) => lines.push(line) } });
    const connecting = connectBus({ servers: servers(), name: 'demo', log: noisy });
    await eventually(() => lines.filter((line) => line.includes('bus.connect_failed')).length >= 2);
    await nats.restart();
    const connection = await connecting;
    const { app, server } = await serveRpc({
      service: 'demo',
      module: DemoModule,
      connection,
      contracts,
      log: noisy,
      life,
    });
    await server.check();
    await app.close();
    await nats.kill();
    await drainBus(connection);
    await nats.restart();
  });
});
