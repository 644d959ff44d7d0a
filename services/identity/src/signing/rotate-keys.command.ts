import type { KeyObject } from 'node:crypto';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { KeyStatus } from '@prime-nest/contracts/identity';
import type { Tx } from '@prime-nest/kit/database';
import { addKey, type KeyParts } from './ensure-key.command.js';
import { dueTransitions, type KeyPolicy } from './key-ring.js';
import { findKey, listAllKeys, listLiveKeys, lockKeys, moveKey } from './key.store.js';

/** Moves signing keys through their states; one replica at a time, each step one transaction with its events. */
export class RotateKeys {
  readonly #parts: KeyParts;
  readonly #policy: KeyPolicy;

  constructor(parts: KeyParts, policy: KeyPolicy) {
    this.#parts = parts;
    this.#policy = policy;
  }

  /** Every key with its state, newest state first. */
  async status(): Promise<KeyStatus[]> {
    const rows = await listAllKeys(this.#parts.database);
    return rows.map(({ kid, state, origin, stateSince }) => ({ kid, state, origin, since: stateSince.toISOString() }));
  }

  /** Does what is due now: nothing, nearly always, for one query. */
  async runDue(context: CallContext): Promise<void> {
    const { database, clock } = this.#parts;
    const due = dueTransitions(await listLiveKeys(database), clock(), this.#policy);
    if (due.length === 0) return;
    if (due.some(({ kind }) => kind === 'create')) await this.announceNext(context);
    await database.transaction(async (tx) => {
      await lockKeys(tx);
      // Another replica may have done it between the look and the lock.
      for (const transition of dueTransitions(await listLiveKeys(tx), clock(), this.#policy)) {
        if (transition.kind === 'activate') await this.#activate(tx, transition, context);
        if (transition.kind === 'retire') await this.#retire(tx, transition.kid, context);
      }
    });
  }

  /**
   * Begins a rotation: a new key is published now and signs after its lead. Answers its kid, or that of the one that
   * is waiting already.
   */
  async announceNext(context: CallContext): Promise<string> {
    const { database } = this.#parts;
    const waiting = (await listLiveKeys(database)).find(({ state }) => state === 'pending');
    if (waiting !== undefined) return waiting.kid;
    const privateKey = await this.#parts.generateKey();
    return database.transaction(async (tx) => {
      await lockKeys(tx);
      const other = (await listLiveKeys(tx)).find(({ state }) => state === 'pending');
      return other?.kid ?? addKey(tx, this.#parts, { privateKey, origin: 'generated', state: 'pending', context });
    });
  }

  /**
   * Declares a key compromised: from here on it is not published and nothing it signed is accepted. If it was the
   * active one, the next key takes over at once, a new one if need be. Throws `not_found`.
   */
  async compromise(kid: string, context: CallContext): Promise<void> {
    const { database, outbox, clock } = this.#parts;
    const spare = await this.#spareFor(kid);
    await database.transaction(async (tx) => {
      await lockKeys(tx);
      const key = await findKey(tx, kid);
      if (key === undefined) throw new AppError('not_found');
      if (key.state === 'compromised') return;
      await moveKey(tx, kid, 'compromised', clock());
      const change = { before: { state: key.state }, after: { state: 'compromised' } };
      await outbox.append(tx, { type: 'identity.key.compromised.v1', resourceId: kid, change }, context);
      if (key.state !== 'active') return;
      const pending = (await listLiveKeys(tx)).find(({ state }) => state === 'pending');
      if (pending !== undefined) await this.#activate(tx, { kid: pending.kid, replaces: undefined }, context);
      else if (spare === undefined)
        throw new AppError('unavailable', { internal: { reason: 'the keys changed meanwhile' } });
      else await addKey(tx, this.#parts, { privateKey: spare, origin: 'generated', state: 'active', context });
    });
  }

  /** A key takes long to make: made before the transaction, and only if nothing else could take over. */
  async #spareFor(kid: string): Promise<KeyObject | undefined> {
    const keys = await listLiveKeys(this.#parts.database);
    const isActive = keys.some((key) => key.kid === kid && key.state === 'active');
    return isActive && !keys.some(({ state }) => state === 'pending') ? this.#parts.generateKey() : undefined;
  }

  async #activate(
    tx: Tx,
    { kid, replaces }: { kid: string; replaces: string | undefined },
    context: CallContext,
  ): Promise<void> {
    const { outbox, clock } = this.#parts;
    // The old one first: at no instant are there two.
    if (replaces !== undefined) await moveKey(tx, replaces, 'retiring', clock());
    await moveKey(tx, kid, 'active', clock());
    const change = { before: { active: replaces ?? null }, after: { active: kid } };
    await outbox.append(tx, { type: 'identity.key.activated.v1', resourceId: kid, change }, context);
  }

  async #retire(tx: Tx, kid: string, context: CallContext): Promise<void> {
    const { outbox, clock } = this.#parts;
    await moveKey(tx, kid, 'retired', clock());
    const change = { before: { state: 'retiring' }, after: { state: 'retired' } };
    await outbox.append(tx, { type: 'identity.key.retired.v1', resourceId: kid, change }, context);
  }
}
