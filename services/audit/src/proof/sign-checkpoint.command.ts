import type { KeyObject } from 'node:crypto';
import type { Clock } from '@prime-nest/kit/clock';
import { isUniqueViolation } from '@prime-nest/kit/database';
import type { Database, Tx } from '@prime-nest/kit/database';
import { parseCheckpoint, signCheckpoint } from '../log/checkpoint.js';
import type { LogStore } from '../log/log.store.js';
import { CompactRange, leafHash } from '../log/tree.js';
import type { EntryStore } from '../search/entry.store.js';
import type { CheckpointStore, StoredCheckpoint } from './checkpoint.store.js';
import type { SignedStateStore } from './signed-state.store.js';

export interface SignerKey {
  readonly origin: string;
  readonly privateKey: KeyObject;
}

/** Why a tree is not signed. `index` names the first entry that is wrong, when it is one entry. */
export interface Refusal {
  readonly reason:
    | 'log_is_shorter_than_signed'
    | 'signed_checkpoint_was_altered'
    | 'entry_is_missing'
    | 'entry_is_not_what_was_hashed'
    | 'root_is_not_that_of_the_entries';
  readonly index?: number;
  readonly signedSize: number;
  readonly treeSize: number;
}

export type SignOutcome =
  { readonly signed: StoredCheckpoint } | { readonly refused: Refusal } | { readonly unchanged: true };

const chunk = 1_000;

/**
 * Signs the tree as it is now, after recomputing from the stored bytes everything that came since the last signature:
 * the new root must grow out of the tree that was signed before. A log that is shorter than that tree, or that
 * contradicts its own hashes, is never signed: what this key says of the log is final, so it stays silent in doubt.
 *
 * What was signed last is remembered in this process as well, and in a file if there is one, so that a database that
 * was set back is noticed. A crash between signature and file leaves the file one checkpoint behind: no harm. Two processes that sign at once sign the same tree or one finds the size signed already.
 */
export class SignCheckpointCommand {
  readonly #database: Database;
  readonly #log: LogStore;
  readonly #entries: EntryStore;
  readonly #checkpoints: CheckpointStore;
  readonly #key: SignerKey;
  readonly #clock: Clock;
  readonly #signed: SignedStateStore;
  #last: { readonly treeSize: number; readonly note: string } | undefined;
  #hasRead = false;

  constructor(parts: {
    database: Database;
    log: LogStore;
    entries: EntryStore;
    checkpoints: CheckpointStore;
    key: SignerKey;
    clock: Clock;
    signed: SignedStateStore;
  }) {
    this.#database = parts.database;
    this.#log = parts.log;
    this.#entries = parts.entries;
    this.#checkpoints = parts.checkpoints;
    this.#key = parts.key;
    this.#clock = parts.clock;
    this.#signed = parts.signed;
  }

  async run(): Promise<SignOutcome> {
    await this.#remember();
    let outcome: SignOutcome;
    try {
      // One snapshot: entries that arrive meanwhile belong to the next checkpoint.
      outcome = await this.#database.transaction((tx) => this.#sign(tx), { isolation: 'REPEATABLE READ' });
    } catch (error) {
      if (isUniqueViolation(error, 'checkpoint_pkey')) return { unchanged: true };
      throw error;
    }
    if ('signed' in outcome) {
      this.#last = outcome.signed;
      await this.#signed.write(outcome.signed.note);
    }
    return outcome;
  }

  async #remember(): Promise<void> {
    if (this.#hasRead) return;
    const note = await this.#signed.read();
    if (note !== undefined) this.#last = { treeSize: Number(parseCheckpoint(note).size), note };
    this.#hasRead = true;
  }

  async #sign(tx: Tx): Promise<SignOutcome> {
    const state = await this.#log.readState(tx);
    const stored = await this.#checkpoints.newest(tx);
    const signedSize = Math.max(stored?.treeSize ?? 0, this.#last?.treeSize ?? 0);
    const refuse = (reason: Refusal['reason'], index?: number): SignOutcome => ({
      refused: { reason, signedSize, treeSize: state.treeSize, ...(index === undefined ? {} : { index }) },
    });
    if (state.treeSize < signedSize || (stored?.treeSize ?? 0) < (this.#last?.treeSize ?? 0))
      return refuse('log_is_shorter_than_signed');
    if (stored !== undefined && !(await this.#isAuthentic(tx, stored))) return refuse('signed_checkpoint_was_altered');
    if (stored?.treeSize === state.treeSize) {
      return stored.root.equals(state.root) ? { unchanged: true } : refuse('root_is_not_that_of_the_entries');
    }
    const range =
      stored === undefined ? CompactRange.empty() : CompactRange.fromBytes(stored.treeSize, stored.frontier);
    while (range.size < state.treeSize) {
      const entries = await this.#entries.range(tx, range.size, Math.min(range.size + chunk, state.treeSize));
      if (entries.length === 0) return refuse('entry_is_missing', range.size);
      for (const { index, bytes, leafHash: stored } of entries) {
        if (index !== range.size) return refuse('entry_is_missing', range.size);
        const leaf = leafHash(bytes);
        if (!leaf.equals(stored)) return refuse('entry_is_not_what_was_hashed', index);
        range.append(leaf);
      }
    }
    const root = range.root();
    if (!root.equals(state.root)) return refuse('root_is_not_that_of_the_entries');
    const { origin, privateKey } = this.#key;
    const note = signCheckpoint({ origin, size: BigInt(state.treeSize), root }, privateKey);
    const signed = { treeSize: state.treeSize, root, frontier: range.toBytes(), note, signedAt: this.#clock() };
    await this.#checkpoints.insert(tx, signed);
    return { signed };
  }

  /** Whether the stored checkpoint is consistent in itself and with what this process has signed. */
  async #isAuthentic(tx: Tx, stored: StoredCheckpoint): Promise<boolean> {
    const mine = this.#last === undefined ? undefined : await this.#checkpoints.ofSize(tx, this.#last.treeSize);
    if (this.#last !== undefined && mine?.note !== this.#last.note) return false;
    try {
      const { size, root } = parseCheckpoint(stored.note);
      const range = CompactRange.fromBytes(stored.treeSize, stored.frontier);
      return size === BigInt(stored.treeSize) && root.equals(stored.root) && range.root().equals(stored.root);
    } catch {
      // Not even a checkpoint any more.
      return false;
    }
  }
}
