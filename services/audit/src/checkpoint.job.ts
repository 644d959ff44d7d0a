import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from '@prime-nest/kit/log';
import { startSpan } from '@prime-nest/kit/telemetry';
import type { SignCheckpointCommand } from './proof/sign-checkpoint.command.js';
import { checkpoints, mark } from './telemetry.js';

export interface CheckpointJobOptions {
  readonly sign: SignCheckpointCommand;
  readonly log: Logger;
  readonly intervalMs: number;
  /** One process signs: the one that sequences. */
  readonly isLeader: () => boolean;
}

/** Signs the log whenever it has grown, at most once per interval. A refusal is an error in the log until it ends. */
export class CheckpointJob {
  readonly #options: CheckpointJobOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: CheckpointJobOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#sign();
      await wait(this.#options.intervalMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #sign(): Promise<void> {
    const { sign, log, isLeader } = this.#options;
    if (!isLeader()) return;
    const startedAt = new Date();
    try {
      const outcome = await sign.run();
      if ('refused' in outcome) checkpoints.inc({ outcome: 'refused' });
      if ('refused' in outcome) log.error({ ...outcome.refused }, 'checkpoint.refused');
      if ('signed' in outcome) {
        const { treeSize, root } = outcome.signed;
        checkpoints.inc({ outcome: 'signed' });
        startSpan('audit.checkpoint', { parent: 'none', startedAt, attributes: { [mark.treeSize]: treeSize } }).end();
        log.debug({ treeSize, root: root.toString('base64') }, 'checkpoint.signed');
      }
    } catch (error) {
      checkpoints.inc({ outcome: 'failed' });
      log.warn({ err: error }, 'checkpoint.failed');
    }
  }
}
