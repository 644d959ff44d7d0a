import { busTarget, connectBus } from '@prime-nest/kit/bus/connection';
import { provisionStreams } from '@prime-nest/kit/bus/streams';
import { ConfigError, loadConfig } from '@prime-nest/kit/config';
import { baseKeys, natsKeys } from '@prime-nest/kit/config-keys';
import type { BaseEnv, NatsEnv } from '@prime-nest/kit/config-keys';
import { exitCode } from '@prime-nest/kit/lifecycle';
import { createLogger } from '@prime-nest/kit/log';
import Joi from 'joi';

/** The only user of the bus that may make streams. */
const user = 'provisioner';
const firstConnectionMs = 120_000;

const schema = Joi.object({
  ...baseKeys,
  ...natsKeys,
  NATS_STREAM_REPLICAS: Joi.number()
    .valid(1, 3, 5)
    .default(1)
    .description('Copies of each event in a NATS cluster; 3 survives the loss of a server.'),
});

/**
 * The stream of events and audit's position in it exist as they must; running it again changes nothing. Runs before
 * the services, which may not make streams. Exits 0 done, 78 bad configuration, 1 anything else.
 */
try {
  const config = loadConfig<BaseEnv & NatsEnv & { readonly NATS_STREAM_REPLICAS: number }>({
    service: user,
    schema,
    env: process.env,
    prefixes: [],
  });
  const log = createLogger({ service: user, level: config.LOG_LEVEL, pretty: config.LOG_PRETTY });
  const connection = await connectBus({
    ...busTarget(config),
    name: user,
    log,
    signal: AbortSignal.timeout(firstConnectionMs),
  });
  try {
    await provisionStreams(connection, config.NATS_STREAM_REPLICAS);
    log.info({ replicas: config.NATS_STREAM_REPLICAS }, 'streams.provisioned');
  } finally {
    await connection.close();
  }
} catch (error) {
  const isConfig = error instanceof ConfigError;
  process.stderr.write(`${isConfig ? error.message : String(error)}\n`);
  process.exitCode = isConfig ? exitCode.configuration : exitCode.failed;
}
