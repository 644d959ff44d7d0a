import { createPublicKey } from 'node:crypto';
import { auditRpc } from '@prime-nest/contracts/audit';
import { busHealth, busTarget, connectBus } from '@prime-nest/kit/bus/connection';
import { systemClock } from '@prime-nest/kit/clock';
import { serviceContext } from '@prime-nest/kit/context';
import { databaseSsl, openDatabase, runMigrations } from '@prime-nest/kit/database';
import { startHealth } from '@prime-nest/kit/health';
import { newId } from '@prime-nest/kit/ids';
import { runService } from '@prime-nest/kit/lifecycle';
import { createLogger } from '@prime-nest/kit/log';
import { createOutbox } from '@prime-nest/kit/outbox/outbox';
import type { ReceiptOptions } from '@prime-nest/kit/outbox/receipts';
import { startRelay } from '@prime-nest/kit/outbox/relay';
import { serveRpc } from '@prime-nest/kit/serve';
import { AuditModule } from './audit.module.js';
import { checkLogTurn } from './check-log.job.js';
import { CheckLogCommand } from './check/check-log.command.js';
import { StoredLogStore } from './check/stored-log.store.js';
import { checkpointTurn } from './checkpoint.job.js';
import { readAuditConfig, signingKey } from './config.js';
import { IngestConsumer } from './ingest.consumer.js';
import { LeaderJob } from './leader.job.js';
import { AppendCommand } from './log/append.command.js';
import { formatVerifierKey, verifierKeyOf } from '@prime-nest/kit/tlog/checkpoint';
import { LogStore } from './log/log.store.js';
import { RecordSourcesCommand } from './log/record-sources.command.js';
import { SequencerLock } from './log/sequencer-lock.store.js';
import { SourceStore } from './log/source.store.js';
import { auditMigrations } from './migrations/list.js';
import { CheckpointStore } from './proof/checkpoint.store.js';
import { ProveReceiptCommand } from './proof/prove-receipt.command.js';
import { ReceiptCommand } from './proof/receipt.command.js';
import { SignCheckpointCommand } from './proof/sign-checkpoint.command.js';
import { SignedStateStore } from './proof/signed-state.store.js';
import { TreeStore } from './proof/tree.store.js';
import { recordSourcesTurn } from './record-sources.job.js';
import { EntryStore } from './search/entry.store.js';
import { checkpointAge, logSize, sequencerLeading, sequencerPending } from './telemetry.js';

const service = 'audit';
/** How often it is looked whether there is enough to record. */
const recordSourcesMs = 1_000;

runService({
  service,
  start: async (life) => {
    const config = readAuditConfig(process.env);
    const log = createLogger({ service, level: config.LOG_LEVEL, pretty: config.LOG_PRETTY });
    life.configure({ log, shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT_MS });
    const ssl = databaseSsl(config);
    const key = { origin: config.AUDIT_LOG_ORIGIN, privateKey: signingKey(config) };
    const verifierKey = formatVerifierKey(verifierKeyOf(key.origin, key.privateKey));
    if (config.AUDIT_SIGNING_KEY === undefined) log.warn({ verifierKey }, 'checkpoint.key_is_temporary');

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
      ...busTarget(config),
      name: service,
      log,
    });
    life.onStop('bus', () => connection.drain());

    const outbox = createOutbox({ service, clock: systemClock });
    const checkpoints = new CheckpointStore();
    const receipt = new ReceiptCommand({ database, checkpoints });
    const prove = new ProveReceiptCommand({ database, entries: new EntryStore(), tree: new TreeStore(), checkpoints });
    const receipts: ReceiptOptions = {
      prove: { ask: prove.run.bind(prove), keys: [createPublicKey(key.privateKey)] },
      ask: receipt.run.bind(receipt),
      onRewound: (tx, after) =>
        outbox.append(tx, { type: 'audit.source.rewound.v1', change: { after } }, serviceContext(service)),
    };
    const relay = startRelay({ database, connection, source: service, log, receipts });
    outbox.onCommitted(() => relay.wake());
    life.onStop('relay', () => relay.stop());

    const clock = systemClock;
    const logStore = new LogStore();
    const lock = new SequencerLock(database);
    const append = new AppendCommand({ database, log: logStore, clock, newId });
    const ingest = new IngestConsumer({ connection, append, lock, log });
    const sign = new SignCheckpointCommand({
      database,
      log: logStore,
      entries: new EntryStore(),
      checkpoints,
      signed: new SignedStateStore(config.AUDIT_SIGNED_STATE_FILE),
      key,
      clock,
    });
    const record = new RecordSourcesCommand({ database, log: logStore, sources: new SourceStore(), clock, newId });
    const check = new CheckLogCommand({ database, log: new StoredLogStore() });
    const isLeader = () => lock.isHeld;
    const jobs = {
      checkpoints: { intervalMs: config.AUDIT_CHECKPOINT_INTERVAL_MS, turn: checkpointTurn({ sign, log }) },
      'source records': { intervalMs: recordSourcesMs, turn: recordSourcesTurn({ record, log }) },
      'log check': { intervalMs: config.AUDIT_CHECK_INTERVAL_SECONDS * 1_000, turn: checkLogTurn({ check, log }) },
    };
    sequencerPending.from(() => ingest.pending());
    sequencerLeading.from(() => (lock.isHeld ? 1 : 0));
    logSize.from(async () => (await checkpoints.coverage(database)).entries);
    checkpointAge.from(async () => (await checkpoints.coverage(database)).uncoveredSeconds);
    ingest.start();
    life.onStop('ingest', () => ingest.stop());
    for (const [name, options] of Object.entries(jobs)) {
      const job = new LeaderJob({ ...options, isLeader });
      job.start();
      life.onStop(name, () => job.stop());
    }
    const module = AuditModule.with({ database, outbox, verifierKey });
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
