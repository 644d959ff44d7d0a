import type { NatsConnection } from '@nats-io/transport-node';
import { gatewayNotify, identityNotify } from '@prime-nest/contracts/identity';
import { type NotifySubscription, publishNotify, subscribeNotify } from '@prime-nest/kit/bus/notify';
import type { Database } from '@prime-nest/kit/database';
import type { Logger } from '@prime-nest/kit/log';
import { revocationHead, type RevocationBatch } from './revocation.store.js';

const subject = 'notify.identity.revocations.v1';
const applied = 'notify.gateway.applied.v1';

export interface RevocationFeedParts {
  readonly database: Database;
  readonly connection: NatsConnection;
  readonly log: Logger;
  readonly heartbeatMs: number;
}

/**
 * What gateways hear about revocations, and what they answer. Announcements and answers hasten, heartbeats and leases
 * bound: each heartbeat carries the head of the list, so a gateway that missed an announcement asks for what is
 * missing within one beat.
 */
export class RevocationFeed {
  readonly #parts: RevocationFeedParts;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> = Promise.resolve();
  #answers: NotifySubscription | undefined;

  constructor(parts: RevocationFeedParts) {
    this.#parts = parts;
  }

  /** Hands committed revocations to the bus. It never fails: what is lost here is found by the next heartbeat. */
  announce(batch: RevocationBatch): void {
    const { connection, log } = this.#parts;
    try {
      publishNotify(connection, subject, identityNotify[subject], { ...batch, revocations: [...batch.revocations] });
    } catch (error) {
      log.warn({ err: error, sequence: batch.sequence }, 'revocation.announce_failed');
    }
  }

  /** `onApplied`: a gateway knows every revocation up to there. */
  async start(onApplied: (memberId: string, sequence: number) => void): Promise<void> {
    const { connection, log, heartbeatMs } = this.#parts;
    this.#timer = setInterval(() => {
      this.#beating = this.#beat();
    }, heartbeatMs);
    this.#answers = await subscribeNotify({
      connection,
      subject: applied,
      schema: gatewayNotify[applied],
      onNotify: ({ memberId, sequence }) => {
        onApplied(memberId, sequence);
      },
      log,
    });
  }

  /** A readiness check. */
  async check(): Promise<void> {
    await this.#answers?.check();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
    await this.#answers?.stop();
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
