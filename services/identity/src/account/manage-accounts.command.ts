import type { KeyObject } from 'node:crypto';
import type { CallContext } from '@prime-nest/contracts/context';
import type { Clock } from '@prime-nest/kit/clock';
import type { Database, Tx } from '@prime-nest/kit/database';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import type { EndSessions } from '../session/end-sessions.command.js';
import { lockAccount, markDeleted, updateAccount, type AccountRow } from './account.store.js';
import { identifierOf } from './lockout.js';
import { unlockIdentifier } from './lockout.store.js';

export interface ManageAccountsParts {
  readonly database: Database;
  readonly ending: EndSessions;
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly laneKey: KeyObject;
}

export interface AccountUpdate {
  readonly id: string;
  readonly name?: string | undefined;
  readonly isActive?: boolean | undefined;
}

/** What administrators do to existing accounts. Each holds the account, so two of them come one after the other. */
export class ManageAccounts {
  readonly #parts: ManageAccountsParts;

  constructor(parts: ManageAccountsParts) {
    this.#parts = parts;
  }

  /** Changes name or activity; deactivation ends every session first. Nothing to change changes nothing. Throws `not_found`. */
  async update({ id, name, isActive }: AccountUpdate, context: CallContext): Promise<AccountRow> {
    const { ending, clock } = this.#parts;
    return ending.inForceAfter(async (tx) => {
      const before = await lockAccount(tx, id);
      const wanted = { name: name ?? before.name, isActive: isActive ?? before.isActive };
      if (isActive === false && !before.isActive) await ending.confirm(tx);
      if (wanted.name === before.name && wanted.isActive === before.isActive) return before;
      // Activation needs no new epoch: the deactivation before it has taken the old sessions already.
      const credentialEpoch = before.credentialEpoch + (before.isActive && !wanted.isActive ? 1 : 0);
      const after = await updateAccount(tx, { id, ...wanted, credentialEpoch, now: clock() });
      await this.#recordUpdate(tx, { before, after, context });
      if (before.isActive && !after.isActive) {
        await ending.endEpoch(tx, { accountId: id, epoch: after.credentialEpoch, reason: 'deactivated' });
      }
      return after;
    });
  }

  async #recordUpdate(
    tx: Tx,
    { before, after, context }: { before: AccountRow; after: AccountRow; context: CallContext },
  ): Promise<void> {
    const { outbox } = this.#parts;
    if (before.name !== after.name) {
      const change = { before: { name: before.name }, after: { name: after.name } };
      await outbox.append(tx, { type: 'identity.account.updated.v1', resourceId: after.id, change }, context);
    }
    if (before.isActive !== after.isActive) {
      const type = after.isActive ? 'identity.account.activated.v1' : 'identity.account.deactivated.v1';
      const change = { before: { isActive: before.isActive }, after: { isActive: after.isActive } };
      await outbox.append(tx, { type, resourceId: after.id, change }, context);
    }
  }

  /** Soft: every session ends, the address becomes free, the row stays. Throws `not_found`. */
  async remove(id: string, context: CallContext): Promise<void> {
    const { ending, outbox, clock } = this.#parts;
    await ending.inForceAfter(async (tx) => {
      const { email, name, isActive, credentialEpoch } = await lockAccount(tx, id);
      await markDeleted(tx, id, clock());
      const change = { before: { email, name, isActive } };
      await outbox.append(tx, { type: 'identity.account.deleted.v1', resourceId: id, change }, context);
      await ending.endEpoch(tx, { accountId: id, epoch: credentialEpoch + 1, reason: 'deleted' });
    });
  }

  /** Forgets the failed attempts against the account, from wherever they came. Throws `not_found`. */
  async unlock(id: string, context: CallContext): Promise<void> {
    const { database, outbox, laneKey } = this.#parts;
    await database.transaction(async (tx) => {
      const { email } = await lockAccount(tx, id);
      const lanes = await unlockIdentifier(tx, identifierOf(laneKey, email));
      await outbox.append(
        tx,
        { type: 'identity.account.unlocked.v1', resourceId: id, change: { before: { lanes } } },
        context,
      );
    });
  }
}
