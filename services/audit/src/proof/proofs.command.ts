import { setTimeout as wait } from 'node:timers/promises';
import type { AuditRpc } from '@prime-nest/contracts/audit';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { RpcParsed, RpcResponse } from '@prime-nest/contracts/rpc';
import type { Database, Queryable } from '@prime-nest/kit/database';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import { consistencyRanges, inclusionRanges } from '@prime-nest/kit/tlog/proof';
import { tileWidth } from '@prime-nest/kit/tlog/tree';
import { entryOf } from '../search/entry.store.js';
import type { EntryStore, StoredEntry } from '../search/entry.store.js';
import type { CheckpointStore, StoredCheckpoint } from './checkpoint.store.js';
import type { TreeStore } from './tree.store.js';

const signPollMs = 100;
/** An event is normally signed within a second; until then a proof of it waits. */
const signWaitMs = 1_800;

export interface ProofParts {
  readonly database: Database;
  readonly entries: EntryStore;
  readonly tree: TreeStore;
  readonly checkpoints: CheckpointStore;
  readonly outbox: Outbox;
  /** The public key of the checkpoints, as C2SP verifier key. */
  readonly verifierKey: string;
}

/** What shows the log to be what it says: nothing here writes to it, and nothing goes beyond the newest checkpoint. */
export class ProofsCommand {
  readonly #parts: ProofParts;

  constructor(parts: ProofParts) {
    this.#parts = parts;
  }

  /** The newest checkpoint. Throws `unavailable` before the first one is signed. */
  async checkpoint(): Promise<RpcResponse<AuditRpc, 'audit.checkpoint.get.v1'>> {
    const { treeSize, root, note, signedAt } = await this.#newest(this.#parts.database);
    const { verifierKey } = this.#parts;
    return {
      treeSize,
      rootHash: root.toString('base64'),
      checkpoint: note,
      verifierKey,
      signedAt: signedAt.toISOString(),
    };
  }

  /**
   * Proves an event against the newest checkpoint and records that it was shown. Throws `not_found`, `unavailable`
   * when no checkpoint covers the event yet, or `internal` when its row holds another event.
   */
  async inclusion(
    { id }: { readonly id: string },
    context: CallContext,
  ): Promise<RpcResponse<AuditRpc, 'audit.event.proof.v1'>> {
    const { database, entries, outbox, tree } = this.#parts;
    const entry = await database.transaction(async (tx) => {
      const found = await entries.findById(tx, id);
      const outcome = found === undefined ? ({ outcome: 'failure', reasonCode: 'not_found' } as const) : {};
      await outbox.append(tx, { type: 'audit.event.read.v1', resourceId: id, ...outcome }, context);
      return found;
    });
    if (entry === undefined) throw new AppError('not_found');
    entryOf(id, entry);
    const checkpoint = await this.#covering(entry);
    const proof = await tree.rangeRoots(database, inclusionRanges(entry.index, checkpoint.treeSize));
    return {
      index: entry.index,
      treeSize: checkpoint.treeSize,
      entry: entry.bytes.toString('base64'),
      proof: proof.map((hash) => hash.toString('base64')),
      checkpoint: checkpoint.note,
    };
  }

  /** Throws `not_found` for sizes that the newest checkpoint does not cover or that are the wrong way round. */
  async consistency(
    request: RpcParsed<AuditRpc, 'audit.checkpoint.consistency.v1'>,
  ): Promise<RpcResponse<AuditRpc, 'audit.checkpoint.consistency.v1'>> {
    const { database, tree } = this.#parts;
    const newest = await this.#newest(database);
    const { from, to = newest.treeSize } = request;
    if (from > to || to > newest.treeSize) throw new AppError('not_found');
    const proof = await tree.rangeRoots(database, consistencyRanges(from, to));
    return { from, to, proof: proof.map((hash) => hash.toString('base64')), checkpoint: newest.note };
  }

  /** Throws `not_found` for a tile that reaches beyond the newest checkpoint. */
  async tile({ level, index, width }: RpcParsed<AuditRpc, 'audit.tile.get.v1'>): Promise<{ data: string }> {
    const { database, tree } = this.#parts;
    const { treeSize } = await this.#newest(database);
    const from = index * tileWidth;
    if (!Number.isSafeInteger(from) || from + width > Math.floor(treeSize / tileWidth ** level))
      throw new AppError('not_found');
    return { data: (await tree.hashes(database, level, from, width)).toString('base64') };
  }

  async #newest(tx: Queryable): Promise<StoredCheckpoint> {
    const newest = await this.#parts.checkpoints.newest(tx);
    if (newest === undefined) throw new AppError('unavailable', { details: { retryAfterSeconds: 1 } });
    return newest;
  }

  async #covering({ index }: StoredEntry): Promise<StoredCheckpoint> {
    const { checkpoints, database } = this.#parts;
    for (let waitedMs = 0; ; waitedMs += signPollMs) {
      const newest = await checkpoints.newest(database);
      if (newest !== undefined && newest.treeSize > index) return newest;
      if (waitedMs >= signWaitMs)
        throw new AppError('unavailable', {
          details: { retryAfterSeconds: 1 },
          internal: { reason: 'not signed yet', index },
        });
      await wait(signPollMs);
    }
  }
}
