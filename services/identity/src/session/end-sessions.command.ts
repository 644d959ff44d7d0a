import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { Clock } from '@prime-nest/kit/clock';
import type { Database, Tx } from '@prime-nest/kit/database';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import { lockAccount } from '../account/account.store.js';
import { appendRevocations, type NewRevocation, type RevocationBatch } from './revocation.store.js';
import { endAllSessions, endSession, type EndReason } from './session.store.js';

export interface EndSessionsParts {
  readonly database: Database;
  readonly outbox: Outbox;
  readonly clock: Clock;
  /** Tells gateways what was just committed; see the revocation feed. */
  readonly announce: (batch: RevocationBatch) => Promise<void>;
  readonly accessTtlSeconds: number;
}

/** Allowance for a transaction that waited for its turn and for clocks that differ. */
const marginSeconds = 60;

/**
 * Ends sessions: their refresh tokens in this database, their access tokens at every gateway. A call that answers has
 * committed the end and handed it to the bus.
 */
export class EndSessions {
  readonly #parts: EndSessionsParts;
  /** Batches of open transactions, to be announced by {@link announceAfter} once they are committed. */
  readonly #pending = new WeakMap<Tx, RevocationBatch[]>();

  constructor(parts: EndSessionsParts) {
    this.#parts = parts;
  }

  /** One session of the account. Ending an ended one changes nothing. Throws `not_found`. */
  async one(
    { accountId, sessionId, reason }: { accountId: string; sessionId: string; reason: EndReason },
    context: CallContext,
  ): Promise<void> {
    await this.announceAfter(async (tx) => {
      const isEnded = await endSession(tx, { sessionId, accountId, reason, now: this.#parts.clock() });
      if (isEnded === undefined) throw new AppError('not_found');
      if (isEnded) await this.record(tx, { sessionIds: [sessionId], reason, context });
    });
  }

  /** Every session of the account; answers how many were alive. Throws `not_found`. */
  async all({ accountId, reason }: { accountId: string; reason: EndReason }, context: CallContext): Promise<number> {
    return this.announceAfter(async (tx) => {
      await lockAccount(tx, accountId);
      const sessionIds = await endAllSessions(tx, accountId, reason, this.#parts.clock());
      await this.record(tx, { sessionIds, reason, context });
      return sessionIds.length;
    });
  }

  /** Runs a transaction that ends sessions, and announces what it committed before answering. */
  async announceAfter<T>(fn: (tx: Tx) => Promise<T>): Promise<T> {
    let batches: RevocationBatch[] = [];
    const result = await this.#parts.database.transaction(async (tx) => {
      batches = [];
      this.#pending.set(tx, batches);
      return fn(tx);
    });
    for (const batch of batches) await this.#parts.announce(batch);
    return result;
  }

  /** Events and revocations of sessions that `tx` has just ended. Call it last: it serialises with every other end. */
  async record(
    tx: Tx,
    { sessionIds, reason, context }: { sessionIds: readonly string[]; reason: EndReason; context: CallContext },
  ): Promise<void> {
    if (sessionIds.length === 0) return;
    for (const sessionId of sessionIds) {
      await this.#parts.outbox.append(
        tx,
        { type: 'identity.session.revoked.v1', resourceId: sessionId, reasonCode: reason },
        context,
      );
    }
    await this.revoke(
      tx,
      sessionIds.map((sessionId) => ({ kind: 'session', sessionId })),
    );
  }

  /**
   * Ends every session of the account through its new credential epoch: one revocation for all tokens, also for those
   * that are being signed right now. The account must be held.
   */
  async endEpoch(
    tx: Tx,
    { accountId, epoch, reason }: { accountId: string; epoch: number; reason: EndReason },
  ): Promise<number> {
    const ended = await endAllSessions(tx, accountId, reason, this.#parts.clock());
    await this.revoke(tx, [{ kind: 'epoch', accountId, minEpoch: epoch }]);
    return ended.length;
  }

  /** Revocations alone, numbered and remembered for the announcement. */
  async revoke(tx: Tx, revocations: readonly NewRevocation[]): Promise<void> {
    const { clock, accessTtlSeconds } = this.#parts;
    const until = new Date(clock().getTime() + (accessTtlSeconds + marginSeconds) * 1000);
    const batch = await appendRevocations(tx, revocations, until);
    this.#pending.get(tx)?.push(batch);
  }
}
