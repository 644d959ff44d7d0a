import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { Clock } from '@prime-nest/kit/clock';
import type { Database, Tx } from '@prime-nest/kit/database';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import { lockouts } from '../telemetry.js';
import { Turns } from '../turns.js';
import { sourceLane, secondsUntil, type Lane, type LockoutPolicy } from './lockout.js';
import { chargeLanes, refundCharges, type Charge } from './lockout.store.js';
import type { PasswordHasher } from './password-hasher.worker.js';

export interface CredentialCheckParts {
  readonly database: Database;
  readonly hasher: PasswordHasher;
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly policy: LockoutPolicy;
  /** Keys the lanes. */
  readonly laneKey: Buffer;
  /** A hash of nothing anybody knows, compared with where there is no account: the same work, the same time. */
  readonly decoyHash: string;
}

export interface Attempt {
  /** Tried in this order; the first that is not locked is charged. */
  readonly lanes: readonly Lane[];
  readonly password: string;
  /** Undefined when there is no such account. */
  readonly hash: string | undefined;
  readonly context: CallContext;
}

export interface Verdict {
  readonly isMatch: boolean;
  /** To be cleared by the transaction that acts on a match. */
  readonly charges: readonly Charge[];
}

/** The one way to try a password: counted first, then hashed, and recorded when it fails. */
export class CredentialCheck {
  readonly #parts: CredentialCheckParts;
  readonly #turns = new Turns();

  constructor(parts: CredentialCheckParts) {
    this.#parts = parts;
  }

  /**
   * Compares a password with a hash, at the cost of one attempt. Throws `login_locked` without comparing when no lane
   * admits it, and `overloaded`, uncounted, when there is no thread for it.
   */
  async verify({ lanes, password, hash, context }: Attempt): Promise<Verdict> {
    const { hasher, decoyHash, database } = this.#parts;
    hasher.assertCapacity();
    const charges = await this.#charge(lanes, context.ip);
    try {
      const isEqual = await hasher.verify(password, hash ?? decoyHash);
      return { isMatch: isEqual && hash !== undefined, charges };
    } catch (error) {
      // No hash was run, so nothing was tried. A crash here leaves one attempt counted too many.
      await refundCharges(database, charges);
      throw error;
    }
  }

  async #charge(lanes: readonly Lane[], ip: string | undefined): Promise<readonly Charge[]> {
    const { database, policy, laneKey, clock } = this.#parts;
    const now = clock();
    let until = now;
    for (const lane of lanes) {
      // A known device is not held up by what its network does.
      const source = ip === undefined || lane.kind !== 'stranger' ? undefined : sourceLane(laneKey, ip);
      const charge = () => chargeLanes(database, { lane, source, policy, now });
      const admission = await this.#turns.take(lane.key.toString('hex'), charge);
      if (admission.isAdmitted) return admission.charges;
      if (admission.lockedUntil > until) until = admission.lockedUntil;
    }
    throw new AppError('login_locked', { details: { retryAfterSeconds: secondsUntil(until, now) } });
  }

  /** Records a failed attempt, and the lock if it was the one that locked. */
  async recordFailure(charges: readonly Charge[], failure: Failure): Promise<void> {
    await this.#parts.database.transaction((tx) => this.#recordFailure(tx, charges, failure));
    for (const { lane, lockedUntil } of charges) if (lockedUntil !== null) lockouts.inc({ lane: lane.kind });
  }

  async #recordFailure(
    tx: Tx,
    charges: readonly Charge[],
    { accountId, identifier, reasonCode, context }: Failure,
  ): Promise<void> {
    const { outbox } = this.#parts;
    const resource = accountId === undefined ? {} : { resourceId: accountId };
    const attempt = { ...resource, outcome: 'denied', reasonCode, change: { after: { identifier } } } as const;
    await outbox.append(tx, { type: 'identity.login.failed.v1', ...attempt }, context);
    for (const { lane, failures, lockedUntil } of charges) {
      if (lockedUntil === null) continue;
      const after = { identifier, lane: lane.kind, failures, lockedUntil: lockedUntil.toISOString() };
      await outbox.append(
        tx,
        {
          type: 'identity.login.locked.v1',
          ...resource,
          outcome: 'denied',
          reasonCode: 'attempts_exhausted',
          change: { after },
        },
        context,
      );
    }
  }
}

export interface Failure {
  readonly accountId: string | undefined;
  /** Keyed hash of what was typed as the e-mail address, in hex: tells attempts apart without naming anybody. */
  readonly identifier: string;
  readonly reasonCode: 'unknown_account' | 'wrong_password' | 'inactive' | 'changed_meanwhile';
  readonly context: CallContext;
}
