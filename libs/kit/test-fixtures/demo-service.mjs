/** A replica of a small service, for tests that stop real processes. Environment: NATS_URL, HEALTH_PORT. */
import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { busHealth, connectBus, drainBus } from '@prime-nest/kit/bus/connection';
import { createRpc } from '@prime-nest/kit/bus/server';
import { startHealth } from '@prime-nest/kit/health';
import { runService } from '@prime-nest/kit/lifecycle';
import { createLogger } from '@prime-nest/kit/log';
import { serveRpc } from '@prime-nest/kit/serve';
import { z } from 'zod';

const contracts = {
  'demo.thing.work.v1': {
    request: z.strictObject({ ms: z.int() }),
    response: z.object({ pid: z.int() }),
    errors: [],
    timeoutMs: 5_000,
  },
};
const Rpc = createRpc(contracts);

class Demo {
  async work({ ms }) {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return { pid: process.pid };
  }
}
Rpc('demo.thing.work.v1')(Demo.prototype, 'work', Object.getOwnPropertyDescriptor(Demo.prototype, 'work'));
Controller()(Demo);
class DemoModule {}
Module({ controllers: [Demo] })(DemoModule);

runService({
  service: 'demo',
  start: async (life) => {
    const log = createLogger({ service: 'demo', level: 'info' });
    life.configure({ log, shutdownTimeoutMs: 5_000 });
    const connection = await connectBus({ servers: process.env.NATS_URL, name: 'demo', log });
    life.onStop('bus', () => drainBus(connection));
    const { server } = await serveRpc({ service: 'demo', module: DemoModule, connection, contracts, log, life });
    const checks = { bus: () => busHealth(connection).check(), rpc: () => server.check() };
    await startHealth({ host: '127.0.0.1', port: 0, checks, log, life });
  },
});
