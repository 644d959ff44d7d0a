import type { Queryable, Tx } from '@prime-nest/kit/database';

export interface StoredCheckpoint {
  readonly treeSize: number;
  readonly root: Buffer;
  readonly frontier: Buffer;
  readonly note: string;
  readonly signedAt: Date;
}

interface Row {
  readonly tree_size: string;
  readonly root: Buffer;
  readonly frontier: Buffer;
  readonly note: string;
  readonly signed_at: Date;
}

export class CheckpointStore {
  async newest(tx: Queryable): Promise<StoredCheckpoint | undefined> {
    const [row] = await tx.query<Row>(
      'SELECT tree_size, root, frontier, note, signed_at FROM checkpoint ORDER BY tree_size DESC LIMIT 1',
    );
    return row === undefined ? undefined : readRow(row);
  }

  async ofSize(tx: Queryable, treeSize: number): Promise<StoredCheckpoint | undefined> {
    const [row] = await tx.query<Row>(
      'SELECT tree_size, root, frontier, note, signed_at FROM checkpoint WHERE tree_size = $1',
      [treeSize],
    );
    return row === undefined ? undefined : readRow(row);
  }

  /** Checkpoints of more than `from` and at most `to` entries, the smallest first. */
  async between(
    tx: Queryable,
    from: number,
    to: number,
  ): Promise<Pick<StoredCheckpoint, 'treeSize' | 'root' | 'note'>[]> {
    const rows = await tx.query<Pick<Row, 'tree_size' | 'root' | 'note'>>(
      'SELECT tree_size, root, note FROM checkpoint WHERE tree_size > $1 AND tree_size <= $2 ORDER BY tree_size',
      [from, to],
    );
    return rows.map(({ tree_size, root, note }) => ({ treeSize: Number(tree_size), root, note }));
  }

  /** The newest `limit` checkpoints of at most `treeSize` entries, the biggest first. */
  async newestUpTo(tx: Queryable, treeSize: number, limit: number): Promise<StoredCheckpoint[]> {
    const rows = await tx.query<Row>(
      `SELECT tree_size, root, frontier, note, signed_at FROM checkpoint WHERE tree_size <= $1
        ORDER BY tree_size DESC LIMIT $2`,
      [treeSize, limit],
    );
    return rows.map(readRow);
  }

  /** Entries in the log, and the seconds since the oldest one that no checkpoint covers was received; 0 without one. */
  async coverage(tx: Queryable): Promise<{ readonly entries: number; readonly uncoveredSeconds: number }> {
    const [row] = await tx.query<{ entries: string; seconds: string | null }>(
      `SELECT s.tree_size::text AS entries,
              (SELECT extract(epoch FROM clock_timestamp() - e.received_at)::text FROM event e
                WHERE e.log_index = (SELECT COALESCE(max(tree_size), 0) FROM checkpoint)) AS seconds
         FROM log_state s`,
    );
    return { entries: Number(row?.entries ?? 0), uncoveredSeconds: Math.max(0, Number(row?.seconds ?? 0)) };
  }

  /** Adds a checkpoint. A size is signed once: another one for it is a unique violation. */
  async insert(tx: Tx, { treeSize, root, frontier, note, signedAt }: StoredCheckpoint): Promise<void> {
    await tx.query('INSERT INTO checkpoint (tree_size, root, frontier, note, signed_at) VALUES ($1, $2, $3, $4, $5)', [
      treeSize,
      root,
      frontier,
      note,
      signedAt.toISOString(),
    ]);
  }
}

function readRow(row: Row): StoredCheckpoint {
  const { root, frontier, note, signed_at: signedAt } = row;
  return { treeSize: Number(row.tree_size), root, frontier, note, signedAt };
}
