import { AppError } from '@prime-nest/contracts/errors';
import type { Queryable } from '@prime-nest/kit/database';
import { rangeNodes, rangeRoot } from '@prime-nest/kit/tlog/proof';
import type { LeafRange } from '@prime-nest/kit/tlog/proof';
import { nodeHash } from '@prime-nest/kit/tlog/tree';

interface Row {
  readonly n: number;
  readonly hash: Buffer;
}

const levelHeight = 8;

/**
 * Hashes of the tree as they are stored: the leaves with their entries, or in tiles when those are retired, and the
 * roots of every 256 below them.
 */
export class TreeStore {
  /** `width` hashes of a level from `from` on, concatenated. Throws `internal` when one of them is not stored. */
  async hashes(tx: Queryable, level: number, from: number, width: number): Promise<Buffer> {
    const [hashes] = await this.#read(tx, [{ level, from, to: from + width }]);
    return Buffer.concat(hashes ?? []);
  }

  /** Roots of the ranges of a proof, in their order. Every range must lie in the tree. */
  async rangeRoots(tx: Queryable, ranges: readonly LeafRange[]): Promise<Buffer[]> {
    const nodes = ranges.map((range) => rangeNodes(range));
    const stored = nodes.flat().map(({ height, index }) => {
      // A subtree between two stored levels is joined from at most 128 hashes of the lower one.
      const level = Math.floor(height / levelHeight);
      const width = 2 ** (height % levelHeight);
      return { level, from: index * width, to: (index + 1) * width };
    });
    const roots = (await this.#read(tx, stored)).map(completeRoot);
    let next = 0;
    return nodes.map((list) => rangeRoot(roots.slice(next, (next += list.length))));
  }

  /** Hashes `from` (inclusive) to `to` (exclusive) of a tile level: level 0 are the leaves, one up is 256 of them. */
  async #read(tx: Queryable, wanted: readonly { level: number; from: number; to: number }[]): Promise<Buffer[][]> {
    if (wanted.length === 0) return [];
    const rows = await tx.query<Row>(
      `SELECT w.n, h.hash FROM unnest($1::int[], $2::int[], $3::bigint[], $4::bigint[]) AS w (n, level, first, beyond)
        CROSS JOIN LATERAL (
          SELECT log_index AS at, leaf_hash AS hash FROM event
           WHERE w.level = 0 AND log_index >= w.first AND log_index < w.beyond
          UNION ALL
          SELECT i, substring(r.hashes FROM (i % 256)::int * 32 + 1 FOR 32) FROM retired_tile r
           CROSS JOIN LATERAL generate_series(GREATEST(w.first, r.tile_index * 256), LEAST(w.beyond, r.tile_index * 256 + 256) - 1) i
           WHERE w.level = 0 AND r.tile_index BETWEEN w.first / 256 AND (w.beyond - 1) / 256
          UNION ALL
          SELECT node_index, t.hash FROM tree_node t
           WHERE t.level = w.level AND node_index >= w.first AND node_index < w.beyond) h
        ORDER BY w.n, h.at`,
      [
        wanted.map((_, n) => n),
        wanted.map(({ level }) => level),
        wanted.map(({ from }) => from),
        wanted.map(({ to }) => to),
      ],
    );
    const result: Buffer[][] = wanted.map(() => []);
    for (const { n, hash } of rows) result[n]?.push(hash);
    result.forEach((hashes, n) => {
      const { from = 0, to = 0, level } = wanted[n] ?? {};
      if (hashes.length !== to - from)
        throw new AppError('internal', {
          internal: { reason: 'hashes of the tree are missing', height: level, from, to },
        });
    });
    return result;
  }
}

/** Root of a complete subtree from its 2^n hashes. */
function completeRoot(hashes: readonly Buffer[]): Buffer {
  let level = [...hashes];
  while (level.length > 1) {
    level = level.flatMap((left, i) => (i % 2 === 0 ? [nodeHash(left, level[i + 1] ?? left)] : []));
  }
  const [root] = level;
  if (root === undefined) throw new RangeError('a subtree has leaves');
  return root;
}
