import { identityRpc } from '@prime-nest/contracts/identity';
import { busHealth, busTarget, connectBus } from '@prime-nest/kit/bus/connection';
import { systemClock } from '@prime-nest/kit/clock';
import { serviceContext } from '@prime-nest/kit/context';
import { databaseSsl, openDatabase } from '@prime-nest/kit/database';
import { startHealth } from '@prime-nest/kit/health';
import { runService } from '@prime-nest/kit/lifecycle';
import { createLogger } from '@prime-nest/kit/log';
import { busReceipts } from '@prime-nest/kit/outbox/bus-receipts';
import { startRelay } from '@prime-nest/kit/outbox/relay';
import { serveRpc } from '@prime-nest/kit/serve';
import { pemText, readIdentityConfig } from './config.js';
import { buildIdentity, IdentityModule } from './identity.module.js';
import { migrate } from './migrations/migrate.js';
import { ensureSigningKey } from './signing/ensure-key.command.js';
import { reseal } from './signing/reseal.command.js';

const service = 'identity';

runService({
  service,
  start: async (life) => {
    const config = readIdentityConfig(process.env);
    const log = createLogger({ service, level: config.LOG_LEVEL, pretty: config.LOG_PRETTY });
    life.configure({ log, shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT_MS });
    if (config.IDENTITY_DB_MIGRATE_ON_START) await migrate(config, log);

    const connection = await connectBus({
      ...busTarget(config),
      name: service,
      log,
    });
    life.onStop('bus', () => connection.drain());
    const database = await openDatabase({
      url: config.IDENTITY_DB_URL,
      schema: service,
      entities: [],
      ssl: databaseSsl(config),
      poolMax: config.DB_POOL_MAX,
      log,
      applicationName: service,
    });
    life.onStop('database', () => database.close());

    const clock = systemClock;
    const identity = await buildIdentity({ config, database, connection, clock, log });
    const { keyParts, envelope, outbox, hasher, keys, keepKeys, feed, force, housekeeping } = identity;
    life.onStop('hasher', () => hasher.close());
    const privateKey = config.PRIVATE_KEY;
    const pem = privateKey === undefined ? undefined : pemText(privateKey.reveal());
    await ensureSigningKey(keyParts, pem, serviceContext(service));
    await keepKeys.reload();

    const publicKey = config.AUDIT_PUBLIC_KEY;
    const receipts = busReceipts({ source: service, connection, outbox, publicKey, log });
    const relay = startRelay({ database, connection, source: service, log, receipts });
    life.onStop('relay', () => relay.stop());
    outbox.onCommitted(() => {
      relay.wake();
    });
    keepKeys.start();
    life.onStop('keys', () => keepKeys.stop());
    await feed.start((memberId, sequence) => {
      force.noteApplied(memberId, sequence);
    });
    life.onStop('feed', () => feed.stop());
    housekeeping.start();
    life.onStop('housekeeping', () => housekeeping.stop());

    if (config.IDENTITY_KEY_ENCRYPTION_KEY_PREVIOUS !== undefined) {
      const resealing = reseal({ database, envelope, log }, () => life.isDraining()).catch((error: unknown) => {
        log.error({ err: error }, 'key_encryption_key.reseal_failed');
      });
      life.onStop('reseal', async () => void (await resealing));
    }

    const module = IdentityModule.of(identity);
    const { server } = await serveRpc({ service, module, connection, contracts: identityRpc, log, life });
    const checks = {
      database: () => database.ping(),
      bus: () => busHealth(connection).check(),
      rpc: () => server.check(),
      signingKey: () => keys.check(),
      revocations: () => feed.check(),
    };
    await startHealth({ host: config.HEALTH_HOST, port: config.HEALTH_PORT, checks, log, life });
  },
});
