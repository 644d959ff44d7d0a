import type { KeyObject } from 'node:crypto';
import type { Clock } from '@prime-nest/kit/clock';
import { isUniqueViolation } from '@prime-nest/kit/database';
import type { Database, Tx } from '@prime-nest/kit/database';
import { isSignedBy, parseCheckpoint, signCheckpoint, verifierKeyOf } from '@prime-nest/kit/tlog/checkpoint';
import type { VerifierKey } from '@prime-nest/kit/tlog/checkpoint';
import type { LogStore } from '../log/log.store.js';
import { retiredRange } from '../log/retirement.js';
import { CompactRange, emptyRoot, leafHash } from '@prime-nest/kit/tlog/tree';
import { RetentionStore } from '../retention/retention.store.js';
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
/** Among so many of the newest checkpoints one of this key is looked for. */
const recent = 20;

/**
 * Signs the tree as it is now, after recomputing from the stored bytes everything that came since the last signature:
 * the new root must grow out of the tree that was signed before. A log that is shorter than that tree, or that
 * contradicts its own hashes, is never signed: what this key says of the log is final, so it stays silent in doubt.
 *
 * What was signed last is remembered in this process as well, and in a file if there is one, so that a database that
 * was set back is noticed. A crash between signature and file leaves the file one checkpoint behind: no harm. Two processes
 * that sign at once sign the same tree or one finds the size signed already.
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
  /** A checkpoint of another key that has been recomputed. */
  #checked: string | undefined;
  readonly #retention = new RetentionStore();
  readonly #verifierKey: VerifierKey;
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
    this.#verifierKey = verifierKeyOf(parts.key.origin, parts.key.privateKey);
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
    if (stored !== undefined && !(await this.#isWhole(tx, stored))) return refuse('signed_checkpoint_was_altered');
    const isSigned = stored?.treeSize === state.treeSize;
    if (isSigned && !stored.root.equals(state.root)) return refuse('root_is_not_that_of_the_entries');
    if (isSigned && (this.#isMine(stored) || stored.note === this.#checked)) return { unchanged: true };
    const range = await this.#base(tx, state.treeSize);
    while (range.size < state.treeSize) {
      const to = Math.min(range.size + chunk, state.treeSize);
      const entries = await this.#entries.range(tx, range.size, to);
      const others = await this.#checkpoints.between(tx, range.size, to);
      if (entries.length === 0) return refuse('entry_is_missing', range.size);
      for (const { index, bytes, leafHash: kept } of entries) {
        if (index !== range.size) return refuse('entry_is_missing', range.size);
        const leaf = leafHash(bytes);
        if (!leaf.equals(kept)) return refuse('entry_is_not_what_was_hashed', index);
        range.append(leaf);
        // Signed by another key, or by nobody: it is a checkpoint of this log, or the log is not signed any further.
        if (others[0]?.treeSize === range.size && !range.root().equals(others.shift()?.root ?? emptyRoot))
          return refuse('signed_checkpoint_was_altered');
      }
    }
    const root = range.root();
    if (!root.equals(state.root)) return refuse('root_is_not_that_of_the_entries');
    if (isSigned) {
      this.#checked = stored.note;
      return { unchanged: true };
    }
    const { origin, privateKey } = this.#key;
    const note = signCheckpoint({ origin, size: BigInt(state.treeSize), root }, privateKey);
    const signed = { treeSize: state.treeSize, root, frontier: range.toBytes(), note, signedAt: this.#clock() };
    await this.#checkpoints.insert(tx, signed);
    return { signed };
  }

  /**
   * The tree to grow from: one that this key has signed, because a row in the database vouches for nothing. Without
   * any (a new key) everything is computed again.
   */
  async #base(tx: Tx, treeSize: number): Promise<CompactRange> {
    const mine = (await this.#checkpoints.newestUpTo(tx, treeSize, recent)).find((stored) => this.#isMine(stored));
    const last = this.#last === undefined ? undefined : await this.#checkpoints.ofSize(tx, this.#last.treeSize);
    const base = mine ?? last;
    if (base !== undefined) return CompactRange.fromBytes(base.treeSize, base.frontier);
    const retired = await this.#retention.newestManifest(tx);
    return retired === undefined ? CompactRange.empty() : retiredRange(retired.content);
  }

  #isMine(stored: StoredCheckpoint): boolean {
    return isSelfConsistent(stored) && isSignedBy(parseCheckpoint(stored.note), this.#verifierKey);
  }

  /** Whether the stored checkpoint is consistent in itself and what this process has signed last is there unchanged. */
  async #isWhole(tx: Tx, stored: StoredCheckpoint): Promise<boolean> {
    const mine = this.#last === undefined ? undefined : await this.#checkpoints.ofSize(tx, this.#last.treeSize);
    if (this.#last !== undefined && (mine?.note !== this.#last.note || !isSelfConsistent(mine))) return false;
    return isSelfConsistent(stored);
  }
}

function isSelfConsistent({ note, treeSize, root: kept, frontier }: StoredCheckpoint): boolean {
  try {
    const { size, root } = parseCheckpoint(note);
    const range = CompactRange.fromBytes(treeSize, frontier);
    return size === BigInt(treeSize) && root.equals(kept) && range.root().equals(kept);
  } catch {
    // Not even a checkpoint any more.
    return false;
  }
}
