import type { KeyObject } from 'node:crypto';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { Clock } from '@prime-nest/kit/clock';
import type { Database, Tx } from '@prime-nest/kit/database';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import { lockouts } from '../telemetry.js';
import type { AdmitAttempt } from './admit-attempt.command.js';
import { sourceLane, secondsUntil, type Lane, type LockoutPolicy } from './lockout.js';
import { failCharge, passCharge, releaseCharge, type Charge, type FailedLane } from './lockout.store.js';
import type { PasswordHasher } from './password-hasher.worker.js';

export interface CredentialCheckParts {
  readonly database: Database;
  readonly admission: AdmitAttempt;
  readonly hasher: PasswordHasher;
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly policy: LockoutPolicy;
  /** Keys the lanes. */
  readonly laneKey: KeyObject;
  /** A hash of nothing anybody knows, compared with where there is no account: the same work, the same time. */
  readonly decoyHash: string;
}

export interface Attempt {
  /** Tried in this order; the first that is not locked is charged. */
  readonly lanes: readonly Lane[];
  readonly password: string;
  /** Undefined when there is no such account. */
  readonly hash: string | undefined;
  /** When it was asked for: a success forgives what had failed by then. */
  readonly askedAt: Date;
  readonly context: CallContext;
}

/** A compared password. Nobody may be told how it ended before {@link CredentialCheck} has settled it. */
export interface Verdict {
  readonly isMatch: boolean;
  readonly charge: Charge;
  readonly askedAt: Date;
}

/** The one way to try a password: charged first, then hashed, then settled as a failure or a success. */
export class CredentialCheck {
  readonly #parts: CredentialCheckParts;

  constructor(parts: CredentialCheckParts) {
    this.#parts = parts;
  }

  /**
   * Compares a password with a hash, at the cost of one attempt. Throws without comparing: `login_locked` when the
   * attempts are used up, `rate_limited` when those that are left are all being compared and go on being so, and
   * `overloaded`, uncharged, when there is no thread for it.
   */
  async verify({ lanes, password, hash, askedAt, context }: Attempt): Promise<Verdict> {
    const { hasher, decoyHash } = this.#parts;
    hasher.assertCapacity();
    const charge = await this.#charge(lanes, context.ip);
    try {
      const isEqual = await hasher.verify(password, hash ?? decoyHash);
      return { isMatch: isEqual && hash !== undefined, charge, askedAt };
    } catch (error) {
      // No hash was run, so nothing was tried. A crash here leaves a charge that grows too old.
      await releaseCharge(this.#parts.database, charge);
      this.#parts.admission.noteSettled(charge.lane);
      throw error;
    }
  }

  async #charge(lanes: readonly Lane[], ip: string | undefined): Promise<Charge> {
    const { admission, laneKey, clock } = this.#parts;
    const now = clock();
    let until = now;
    for (const lane of lanes) {
      // A known device is not held up by what its network does.
      const source = ip === undefined || lane.kind !== 'stranger' ? undefined : sourceLane(laneKey, ip);
      const answer = await admission.run(lane, source);
      if (answer.kind === 'admitted') return answer.charge;
      if (answer.kind === 'busy') throw new AppError('rate_limited', { details: { retryAfterSeconds: 1 } });
      if (answer.until > until) until = answer.until;
    }
    throw new AppError('login_locked', { details: { retryAfterSeconds: secondsUntil(until, now) } });
  }

  /**
   * Settles a match, in the transaction that acts on it. Throws `unavailable`, and so undoes the transaction, when it
   * took so long that the charge has been given up: a guess without a charge is worth nothing.
   */
  async settleMatch(tx: Tx, verdict: Verdict): Promise<void> {
    this.noteSettled(tx, verdict, await passCharge(tx, verdict.charge, verdict.askedAt));
  }

  /** The same for a transaction that has passed the charge by a statement of its own. */
  noteSettled(tx: Tx, { charge }: Verdict, isSettled: boolean): void {
    if (!isSettled) throw givenUp();
    tx.afterCommit(() => {
      this.#parts.admission.noteSettled(charge.lane);
    });
  }

  /**
   * Settles a failure and records it, with the lock if it was the one that locked. Throws `unavailable` like
   * {@link settleMatch}, so that a failure and a match without a charge look the same.
   */
  async settleFailure({ charge }: Verdict, failure: Failure): Promise<void> {
    const { database, admission, policy, clock } = this.#parts;
    const lanes = await database.transaction(async (tx) => {
      const failed = await failCharge(tx, charge, policy, clock());
      if (failed === undefined) throw givenUp();
      await this.#record(tx, failed, failure);
      return failed;
    });
    admission.noteSettled(charge.lane);
    for (const { kind, lockedUntil } of lanes) if (lockedUntil !== null) lockouts.inc({ lane: kind });
  }

  async #record(
    tx: Tx,
    lanes: readonly FailedLane[],
    { accountId, identifier, reasonCode, context }: Failure,
  ): Promise<void> {
    const { outbox } = this.#parts;
    const resource = accountId === undefined ? {} : { resourceId: accountId };
    const attempt = { ...resource, outcome: 'denied', reasonCode, change: { after: { identifier } } } as const;
    await outbox.append(tx, { type: 'identity.login.failed.v1', ...attempt }, context);
    for (const { kind, failures, lockedUntil } of lanes) {
      if (lockedUntil === null) continue;
      const after = { identifier, lane: kind, failures, lockedUntil: lockedUntil.toISOString() };
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

function givenUp(): AppError {
  return new AppError('unavailable', { internal: { reason: 'the attempt outlived its charge' } });
}

export interface Failure {
  readonly accountId: string | undefined;
  /** Keyed hash of what was typed as the e-mail address, in hex: tells attempts apart without naming anybody. */
  readonly identifier: string;
  readonly reasonCode: 'unknown_account' | 'wrong_password' | 'inactive' | 'changed_meanwhile';
  readonly context: CallContext;
}
