import type { NatsConnection } from '@nats-io/transport-node';
import { identityNotify } from '@prime-nest/contracts/identity';
import { publishNotify } from '@prime-nest/kit/bus/notify';
import { serviceContext } from '@prime-nest/kit/context';
import type { Database } from '@prime-nest/kit/database';
import type { Logger } from '@prime-nest/kit/log';
import { listLiveKeys } from './key.store.js';
import type { RotateKeys } from './rotate-keys.command.js';
import type { SigningKeys } from './signing-keys.js';

const subject = 'notify.identity.keys.v1';

export interface KeepKeysParts {
  readonly database: Database;
  readonly connection: NatsConnection;
  readonly keys: SigningKeys;
  readonly rotation: RotateKeys;
  readonly log: Logger;
  readonly intervalMs: number;
}

/** Beats after which the keys are announced although nothing changed, for a listener that missed the change. */
const announceEvery = 30;

/**
 * Keeps this process's keys those of the database, moves keys on when they are due, and tells gateways. A beat that
 * fails leaves the keys as they were and the next one tries again.
 */
export class KeepKeys {
  readonly #parts: KeepKeysParts;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;
  #beats = 0;

  constructor(parts: KeepKeysParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#timer = setInterval(() => {
      // A slow beat (a key is being generated) is not run into by the next.
      this.#beating ??= this.beat().finally(() => {
        this.#beating = undefined;
      });
    }, this.#parts.intervalMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
  }

  async beat(): Promise<void> {
    const { rotation, log } = this.#parts;
    try {
      await rotation.runDue(serviceContext('identity'));
      await this.reload();
    } catch (error) {
      log.warn({ err: error }, 'signing_keys.beat_failed');
    }
  }

  /** Takes over the stored keys now, and announces them if they changed or if it is time. */
  async reload(): Promise<void> {
    const { database, keys, connection, log } = this.#parts;
    const hasChanged = keys.adopt(await listLiveKeys(database));
    this.#beats += 1;
    if (!hasChanged && this.#beats % announceEvery !== 0) return;
    publishNotify(connection, subject, identityNotify[subject], { keys: keys.published() });
    if (hasChanged) log.info({ kids: keys.published().map(({ kid }) => kid) }, 'signing_keys.changed');
  }
}
