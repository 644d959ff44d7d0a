import { setTimeout as wait } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import { identityNotify } from '@prime-nest/contracts/identity';
import { publishNotify } from '@prime-nest/kit/bus/notify';
import type { Database } from '@prime-nest/kit/database';
import type { Logger } from '@prime-nest/kit/log';
import { revocationHead, type RevocationBatch } from './revocation.store.js';

const subject = 'notify.identity.revocations.v1';

export interface RevocationFeedParts {
  readonly database: Database;
  readonly connection: NatsConnection;
  readonly log: Logger;
  readonly heartbeatMs: number;
}

/** How long an answer waits for the bus to confirm that it has the announcement. */
const flushTimeoutMs = 500;

/**
 * What gateways hear about revocations. Announcements hasten, heartbeats bound: each heartbeat carries the head of
 * the list, so a gateway that missed an announcement asks for the list within one beat, and one that hears no beat
 * knows that it knows nothing.
 */
export class RevocationFeed {
  readonly #parts: RevocationFeedParts;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> = Promise.resolve();

  constructor(parts: RevocationFeedParts) {
    this.#parts = parts;
  }

  /**
   * Hands committed revocations to the bus, and waits until the server has them. It never fails: what is lost here is
   * found by the next heartbeat.
   */
  async announce(batch: RevocationBatch): Promise<void> {
    const { connection, log } = this.#parts;
    try {
      publishNotify(connection, subject, identityNotify[subject], { ...batch, revocations: [...batch.revocations] });
      await Promise.race([connection.flush(), wait(flushTimeoutMs, undefined, { ref: false })]);
    } catch (error) {
      log.warn({ err: error, sequence: batch.sequence }, 'revocation.announce_failed');
    }
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#beating = this.#beat();
    }, this.#parts.heartbeatMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
  }

  async #beat(): Promise<void> {
    const { database, connection, log } = this.#parts;
    try {
      // Without the database nothing is known, so nothing is said.
      const sequence = await revocationHead(database);
      publishNotify(connection, subject, identityNotify[subject], { sequence, revocations: [] });
    } catch (error) {
      log.warn({ err: error }, 'revocation.heartbeat_failed');
    }
  }
}
