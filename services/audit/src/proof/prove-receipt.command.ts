import type { AuditRpc } from '@prime-nest/contracts/audit';
import { AppError } from '@prime-nest/contracts/errors';
import type { RpcParsed, RpcResponse } from '@prime-nest/contracts/rpc';
import type { Database } from '@prime-nest/kit/database';
import { consistencyRanges, inclusionRanges } from '@prime-nest/kit/tlog/proof';
import type { LeafRange } from '@prime-nest/kit/tlog/proof';
import { tileWidth } from '@prime-nest/kit/tlog/tree';
import type { EntryStore } from '../search/entry.store.js';
import type { CheckpointStore } from './checkpoint.store.js';
import type { TreeStore } from './tree.store.js';

/** 8 KiB each: an answer has to fit into a message of the bus. */
const tilesMax = 32;

interface ProveParts {
  readonly database: Database;
  readonly entries: EntryStore;
  readonly tree: TreeStore;
  readonly checkpoints: CheckpointStore;
}

/** Shows a source that its events are in the signed log: for as many, from the first on, as one answer holds. */
export class ProveReceiptCommand {
  readonly #parts: ProveParts;

  constructor(parts: ProveParts) {
    this.#parts = parts;
  }

  /** Throws `unavailable` before the first checkpoint is signed. */
  async run({
    events,
    since,
  }: RpcParsed<AuditRpc, 'audit.receipt.prove.v1'>): Promise<RpcResponse<AuditRpc, 'audit.receipt.prove.v1'>> {
    const { database, entries, tree, checkpoints } = this.#parts;
    const newest = await checkpoints.newest(database);
    if (newest === undefined) throw new AppError('unavailable', { details: { retryAfterSeconds: 1 } });
    const { treeSize: size, note } = newest;
    const standing = await entries.standingFor(database, events);
    const placed: { index: number; entry?: string }[] = [];
    const tiles = new Set<number>();
    for (const event of events) {
      const found = standing.get(event.sha256);
      if (found === undefined || found.index >= size) break;
      const tile = Math.floor(found.index / tileWidth);
      if (!tiles.has(tile) && tiles.size === tilesMax) break;
      tiles.add(tile);
      placed.push({
        index: found.index,
        ...(found.entry === undefined ? {} : { entry: found.entry.toString('base64') }),
      });
    }
    const isWithin = since !== undefined && since <= size;
    const consistency = isWithin ? await tree.rangeRoots(database, consistencyRanges(since, size)) : [];
    const proven = [];
    for (const index of tiles) {
      const from = index * tileWidth;
      const hashes = await tree.hashes(database, 0, from, Math.min(tileWidth, size - from));
      const roots = await tree.rangeRoots(database, aboveTile(index, size));
      proven.push({ index, hashes: hashes.toString('base64'), proof: roots.map(base64) });
    }
    return { checkpoint: note, consistency: consistency.map(base64), entries: placed, tiles: proven };
  }
}

/** What proves a tile: the tree above the tiles is the tree whose leaves they are. */
function aboveTile(index: number, size: number): LeafRange[] {
  return inclusionRanges(index, Math.ceil(size / tileWidth)).map(({ from, to }) => ({
    from: from * tileWidth,
    to: Math.min(to * tileWidth, size),
  }));
}

function base64(hash: Buffer): string {
  return hash.toString('base64');
}
