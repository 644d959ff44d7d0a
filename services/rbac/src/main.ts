import { rbacRpc } from '@prime-nest/contracts/rbac';
import { busHealth, busTarget, connectBus } from '@prime-nest/kit/bus/connection';
import { systemClock } from '@prime-nest/kit/clock';
import { databaseSsl, openDatabase, runMigrations } from '@prime-nest/kit/database';
import { startHealth } from '@prime-nest/kit/health';
import { newId } from '@prime-nest/kit/ids';
import { runService } from '@prime-nest/kit/lifecycle';
import { createLogger } from '@prime-nest/kit/log';
import { busReceipts } from '@prime-nest/kit/outbox/bus-receipts';
import { createOutbox } from '@prime-nest/kit/outbox/outbox';
import { startRelay } from '@prime-nest/kit/outbox/relay';
import { serveRpc } from '@prime-nest/kit/serve';
import { decideAtOnce } from './access.rpc.js';
import { readRbacConfig } from './config.js';
import { rbacMigrations } from './migrations/list.js';
import { Attendance } from './policy/attendance.job.js';
import { connectFleet } from './policy/fleet.consumer.js';
import { createPolicy, systemClocks } from './policy/policy.module.js';
import { RbacModule } from './rbac.module.js';

const service = 'rbac';
/** A renewal, a proof and a poll of the barrier at the same time. */
const freshnessPoolMax = 3;

runService({
  service,
  start: async (life) => {
    const config = readRbacConfig(process.env);
    const log = createLogger({ service, level: config.LOG_LEVEL, pretty: config.LOG_PRETTY });
    life.configure({ log, shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT_MS });
    const ssl = databaseSsl(config);
    if (config.RBAC_DB_MIGRATE_ON_START) {
      const url = config.RBAC_DB_MIGRATION_URL ?? config.RBAC_DB_URL;
      await runMigrations({ url, schema: service, migrations: [...rbacMigrations], ssl, log });
    }
    const open = (applicationName: string, poolMax: number) =>
      openDatabase({ url: config.RBAC_DB_URL, schema: service, entities: [], ssl, poolMax, log, applicationName });
    const database = await open(service, config.DB_POOL_MAX);
    life.onStop('database', () => database.close());
    const freshness = await open(`${service}-freshness`, freshnessPoolMax);
    life.onStop('freshness', () => freshness.close());
    const connection = await connectBus({
      ...busTarget(config),
      name: service,
      log,
    });
    life.onStop('bus', () => connection.drain());

    const outbox = createOutbox({ service, clock: systemClock });
    const guarantee = { leaseMs: config.RBAC_LEASE_MS, heartbeatMs: config.RBAC_HEARTBEAT_MS };
    const fleet = connectFleet(connection, log);
    const policy = createPolicy({
      database,
      freshness,
      outbox,
      log,
      memberId: newId(),
      guarantee,
      clocks: systemClocks,
      fleet,
    });
    await policy.start();
    life.onStop('policy', () => policy.stop());

    const publicKey = config.AUDIT_PUBLIC_KEY;
    const receipts = busReceipts({ source: service, connection, outbox, publicKey, log });
    const relay = startRelay({ database, connection, source: service, log, receipts });
    outbox.onCommitted(() => {
      relay.wake();
    });
    life.onStop('relay', () => relay.stop());
    const module = RbacModule.with({ database, replica: policy.replica, mutator: policy.mutator, guarantee });
    const atOnce = { 'rbac.access.decide.v1': decideAtOnce(policy.replica) };
    const { server } = await serveRpc({ service, module, connection, contracts: rbacRpc, log, life, atOnce });
    const attendance = new Attendance({ replica: policy.replica, server, intervalMs: guarantee.heartbeatMs, log });
    attendance.start();
    life.onStop('attendance', () => attendance.stop());
    const checks = {
      database: () => database.ping(),
      bus: () => busHealth(connection).check(),
      rpc: () => server.check(),
      policy: () => policy.replica.check(),
      fleet: () => fleet.check(),
    };
    await startHealth({ host: config.HEALTH_HOST, port: config.HEALTH_PORT, checks, log, life });
  },
});
