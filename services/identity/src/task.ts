import { ConfigError } from '@prime-nest/kit/config';
import { exitCode } from '@prime-nest/kit/lifecycle';
import { createLogger, type Logger } from '@prime-nest/kit/log';
import { readIdentityStorageConfig, type IdentityStorageConfig } from './config.js';

/** Runs something once, against the database alone, and exits: 0 done, 78 bad configuration, 1 anything else. */
export async function runTask(task: (config: IdentityStorageConfig, log: Logger) => Promise<void>): Promise<void> {
  try {
    const config = readIdentityStorageConfig(process.env);
    await task(config, createLogger({ service: 'identity', level: config.LOG_LEVEL, pretty: config.LOG_PRETTY }));
  } catch (error) {
    if (error instanceof ConfigError) process.stderr.write(`${error.message}\n`);
    else createLogger({ service: 'identity', level: 'info' }).fatal({ err: error }, 'task.failed');
    process.exitCode = error instanceof ConfigError ? exitCode.configuration : exitCode.failed;
  }
}
