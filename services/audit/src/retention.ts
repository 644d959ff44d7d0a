#!/usr/bin/env node
import { writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ConfigError } from '@prime-nest/kit/config';
import { systemClock } from '@prime-nest/kit/clock';
import { databaseSsl, openDatabase } from '@prime-nest/kit/database';
import { newId } from '@prime-nest/kit/ids';
import { exitCode } from '@prime-nest/kit/lifecycle';
import { createLogger } from '@prime-nest/kit/log';
import { CheckLogCommand } from './check/check-log.command.js';
import { StoredLogStore } from './check/stored-log.store.js';
import { readStorageConfig } from './config.js';
import { parseVerifierKey } from '@prime-nest/kit/tlog/checkpoint';
import { LogStore } from './log/log.store.js';
import { CheckpointStore } from './proof/checkpoint.store.js';
import { TreeStore } from './proof/tree.store.js';
import { RetentionStore } from './retention/retention.store.js';
import { RetirePartitionCommand } from './retention/retire-partition.command.js';
import { EntryStore } from './search/entry.store.js';

const usage = `audit-retention: takes whole old partitions out of the audit log, oldest first, and keeps their hashes.

  audit-retention --older-than-days N --archive FOLDER [--reason TEXT] [--drop] [--key KEY]

Nothing runs this by itself. It needs AUDIT_DB_MIGRATION_URL, the owner of the schema. Each partition is written to a
file in FOLDER, a manifest of it becomes an entry of the log, and when that is signed the partition is detached; with
--drop its table is removed as well. N is at least ${daysMin()}: the outboxes and the stream must have forgotten the entries.

Exit code: 0 done, or nothing old enough; 1 refused (the log has a fault), 64 usage, 75 not signed yet: run it again,
78 configuration.
`;

const refused = 1;
const usageCode = 64;
const againCode = 75;
const dayMs = 86_400_000;

process.exitCode = await main();

async function main(): Promise<number> {
  const say = (text: string) => void writeSync(1, `${text}\n`);
  try {
    const { values } = parseArgs({
      options: {
        'older-than-days': { type: 'string' },
        archive: { type: 'string' },
        reason: { type: 'string' },
        drop: { type: 'boolean', default: false },
        key: { type: 'string', multiple: true, default: [] },
      },
    });
    const days = Number(values['older-than-days']);
    const folder = values.archive;
    if (!Number.isSafeInteger(days) || days < daysMin() || folder === undefined || (values.reason?.length ?? 0) > 200) {
      say(usage);
      return usageCode;
    }
    const config = readStorageConfig(process.env);
    const database = await openDatabase({
      url: config.AUDIT_DB_MIGRATION_URL ?? config.AUDIT_DB_URL,
      schema: 'audit',
      entities: [],
      ssl: databaseSsl(config),
      poolMax: 2,
      log: createLogger({ service: 'audit', level: config.LOG_LEVEL, pretty: config.LOG_PRETTY }),
      applicationName: 'audit-retention',
    });
    const command = new RetirePartitionCommand({
      database,
      log: new LogStore(),
      entries: new EntryStore(),
      tree: new TreeStore(),
      checkpoints: new CheckpointStore(),
      store: new RetentionStore(),
      check: new CheckLogCommand({ database, log: new StoredLogStore() }),
      clock: systemClock,
      newId,
      signWaitMs: 30_000,
    });
    const request = {
      before: new Date(systemClock().getTime() - days * dayMs),
      folder,
      isDropping: values.drop,
      keys: values.key.map(parseVerifierKey),
      ...(values.reason === undefined ? {} : { reason: values.reason }),
    };
    try {
      for (;;) {
        const outcome = await command.run(request);
        if (outcome.kind === 'retired') {
          const { partition, manifest, archive } = outcome;
          say(`retired the entries ${partition.from} to ${partition.to - 1}: manifest ${manifest}, archive ${archive}`);
          continue;
        }
        if (outcome.kind === 'unsigned') {
          say(`the manifest ${outcome.manifest} is not signed yet: run this again`);
          return againCode;
        }
        say(`${outcome.kind}: ${outcome.why}`);
        return outcome.kind === 'refused' ? refused : 0;
      }
    } finally {
      await database.close();
    }
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    if (error instanceof ConfigError) return exitCode.configuration;
    return error instanceof TypeError ? usageCode : exitCode.failed;
  }
}

/** Longer than the stream (14 days) and the outboxes (72 hours) remember. */
function daysMin(): number {
  return 30;
}
