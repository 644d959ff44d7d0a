import { setTimeout as wait } from 'node:timers/promises';
import { busTarget, connectBus } from '@prime-nest/kit/bus/connection';
import { startHealth } from '@prime-nest/kit/health';
import { runService } from '@prime-nest/kit/lifecycle';
import { createLogger } from '@prime-nest/kit/log';
import { buildApp } from './app.js';
import { readGatewayConfig } from './config.js';
import { closeServer, httpLimits } from './http-server.js';
import { createParts } from './parts.js';

const service = 'gateway';

runService({
  service,
  start: async (life) => {
    const config = readGatewayConfig(process.env);
    const log = createLogger({ service, level: config.LOG_LEVEL, pretty: config.LOG_PRETTY });
    life.configure({ log, shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT_MS });

    const connection = await connectBus({
      ...busTarget(config),
      name: service,
      log,
    });
    life.onStop('bus', () => connection.drain());

    const parts = createParts({ config, connection, log, isDraining: () => life.isDraining() });
    life.onStop('feeds', () => parts.stop());
    await parts.start();

    const { nest } = await buildApp(config, parts);
    life.onStop('http', async () => {
      // Readiness is off by now: requests that balancers still send are served, each closing its connection.
      await wait(config.DRAIN_DELAY_MS);
      await closeServer(nest.getHttpServer());
      await nest.close();
    });
    if (parts.upstreams !== undefined) {
      const { load } = parts.upstreams;
      process.on('SIGHUP', () => void load.reload());
    }
    // Beside the public port: metrics are for the operator's own machines.
    const ready = async () => {
      const { status, failing } = await parts.checks.readiness();
      if (status !== 'ready') throw new Error(`${status}: ${failing.join(', ')}`);
    };
    await startHealth({ host: config.METRICS_HOST, port: config.METRICS_PORT, checks: { ready }, log, life });
    await nest.listen({ port: config.PORT, host: config.HOST, backlog: httpLimits.backlog });
    log.info({ url: await nest.getUrl(), prefix: config.API_PREFIX }, 'http.listening');
  },
});
