/**
 * rbac as everybody else builds it: changes are pushed to the replicas, a mutation is answered when it is committed,
 * and a decision is made from whatever the replica holds. The control of `revocation.mjs`; never part of the service.
 */
import { performance } from 'node:perf_hooks';
import { setInterval } from 'node:timers';
import { rbacRpc } from '@prime-nest/contracts/rbac';
import { busTarget, connectBus } from '@prime-nest/kit/bus/connection';
import { systemClock } from '@prime-nest/kit/clock';
import { openDatabase } from '@prime-nest/kit/database';
import { startHealth } from '@prime-nest/kit/health';
import { runService } from '@prime-nest/kit/lifecycle';
import { createLogger } from '@prime-nest/kit/log';
import { createOutbox } from '@prime-nest/kit/outbox/outbox';
import { serveRpc } from '@prime-nest/kit/serve';
import { readRbacConfig } from '@prime-nest/rbac/config';
import { connectFleet } from '@prime-nest/rbac/policy/fleet.consumer';
import { Mutator } from '@prime-nest/rbac/policy/mutate.command';
import { readHead } from '@prime-nest/rbac/policy/policy.store';
import { systemClocks } from '@prime-nest/rbac/policy/policy.module';
import { Replica } from '@prime-nest/rbac/policy/replica.store';
import { RbacModule } from '@prime-nest/rbac/rbac.module';

const service = 'rbac';
const alwaysHeld = { isHeld: () => true, renew: () => undefined, drop: () => undefined };

runService({
  service,
  start: async (life) => {
    const config = readRbacConfig(process.env);
    const log = createLogger({ service, level: config.LOG_LEVEL });
    const database = await openDatabase({
      url: config.RBAC_DB_URL,
      schema: service,
      entities: [],
      ssl: false,
      poolMax: 10,
      log,
      applicationName: service,
    });
    const connection = await connectBus({ ...busTarget(config), name: service, log });
    life.onStop('bus', () => connection.drain());
    const replica = new Replica({ database, clocks: systemClocks, log, lease: alwaysHeld });
    const fleet = connectFleet(connection, log);
    const barrier = {
      liveMembers: () => Promise.resolve(new Map()),
      wait: (revision) => {
        fleet.tellRevision(revision);
        return Promise.resolve({ revision, effective: 'all', barrierMs: 0, acked: [], fenced: [] });
      },
    };
    const outbox = createOutbox({ service, clock: systemClock });
    const mutator = new Mutator({ database, replica, outbox, barrier });
    await fleet.listen({ onRevision: (revision) => replica.advanceTo(revision), onApplied: () => undefined });
    await replica.load();
    replica.anchor((await readHead(database)).nowMs, { monoMs: performance.now(), wallMs: Date.now() });
    // Missed messages are made up for now and then, as a careful push design would.
    setInterval(() => {
      readHead(database)
        .then(({ revision }) => replica.advanceTo(revision))
        .catch(() => undefined);
    }, config.RBAC_HEARTBEAT_MS).unref();
    const guarantee = { leaseMs: config.RBAC_LEASE_MS, heartbeatMs: config.RBAC_HEARTBEAT_MS };
    const module = RbacModule.with({ database, replica, mutator, guarantee });
    await serveRpc({ service, module, connection, contracts: rbacRpc, log, life });
    await startHealth({ host: '127.0.0.1', port: config.HEALTH_PORT, checks: {}, log, life });
  },
});
