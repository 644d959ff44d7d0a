import type { Logger } from '@prime-nest/kit/log';
import { startSpan } from '@prime-nest/kit/telemetry';
import type { SignCheckpointCommand } from './proof/sign-checkpoint.command.js';
import { checkpoints, mark } from './telemetry.js';

/** Signs the log when it has grown. A refusal is an error in the log until it ends. */
export function checkpointTurn({ sign, log }: { sign: SignCheckpointCommand; log: Logger }) {
  return async (): Promise<void> => {
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
  };
}
