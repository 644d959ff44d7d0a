import { auditRpc } from '@prime-nest/contracts/audit';
import { busHealth, busTls, connectBus } from '@prime-nest/kit/bus/connection';
import { systemClock } from '@prime-nest/kit/clock';
import { databaseSsl, openDatabase, runMigrations } from '@prime-nest/kit/database';
import { startHealth } from '@prime-nest/kit/health';
import { newId } from '@prime-nest/kit/ids';
import { runService } from '@prime-nest/kit/lifecycle';
import { createLogger } from '@prime-nest/kit/log';
import { createOutbox } from '@prime-nest/kit/outbox/outbox';
import { startRelay } from '@prime-nest/kit/outbox/relay';
import { serveRpc } from '@prime-nest/kit/serve';
import { AuditModule } from './audit.module.js';
import { readAuditConfig } from './config.js';
import { IngestConsumer } from './ingest.consumer.js';
import { AppendCommand } from './log/append.command.js';
import { LogStore } from './log/log.store.js';
import { SequencerLock } from './log/sequencer-lock.store.js';
import { auditMigrations } from './migrations/list.js';

const service = 'audit';

runService({
  service,
  start: async (life) => {
    const config = readAuditConfig(process.env);
    const log = createLogger({ service, level: config.LOG_LEVEL, pretty: config.LOG_PRETTY });
    life.configure({ log, shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT_MS });
    const ssl = databaseSsl(config);

    if (config.AUDIT_DB_MIGRATE_ON_START) {
      const url = config.AUDIT_DB_MIGRATION_URL ?? config.AUDIT_DB_URL;
      await runMigrations({ url, schema: service, migrations: auditMigrations, ssl, log });
    }
    const database = await openDatabase({
      url: config.AUDIT_DB_URL,
      schema: service,
      entities: [],
      ssl,
      poolMax: config.DB_POOL_MAX,
      log,
      applicationName: service,
    });
    life.onStop('database', () => database.close());
    const connection = await connectBus({
      servers: config.NATS_URL,
      user: config.NATS_USER,
      password: config.NATS_PASSWORD,
      tls: busTls(config),
      name: service,
      log,
    });
    life.onStop('bus', () => connection.drain());

    const outbox = createOutbox({ service, clock: systemClock });
    const relay = startRelay({ database, connection, source: service, log });
    outbox.onCommitted(() => relay.wake());
    life.onStop('relay', () => relay.stop());

    const append = new AppendCommand({ database, log: new LogStore(), clock: systemClock, newId });
    const ingest = new IngestConsumer({ connection, append, lock: new SequencerLock(database), log });
    ingest.start();
    life.onStop('ingest', () => ingest.stop());

    const module = AuditModule.with({ database, outbox });
    const { server } = await serveRpc({ service, module, connection, contracts: auditRpc, log, life });
    await startHealth({
      host: config.HEALTH_HOST,
      port: config.HEALTH_PORT,
      checks: {
        database: () => database.ping(),
        bus: () => busHealth(connection).check(),
        rpc: () => server.check(),
        consumer: () => ingest.check(),
      },
      log,
      life,
    });
  },
});
