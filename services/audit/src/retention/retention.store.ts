import type { Queryable, Tx } from '@prime-nest/kit/database';
import { tileWidth } from '@prime-nest/kit/tlog/tree';
import { AppError } from '@prime-nest/contracts/errors';
import { readManifest, retirementType } from '../log/retirement.js';
import type { RetirementManifest } from '../log/retirement.js';

export interface Partition {
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

/** A manifest and its place in the log. */
export interface WrittenManifest {
  readonly index: number;
  readonly content: RetirementManifest;
}

/** Partitions of the log and what stays of those that are retired; only the schema's owner may use the writing half. */
export class RetentionStore {
  /** The manifest that speaks for everything that is retired; undefined when nothing is. Throws `internal` without it. */
  async newestManifest(tx: Queryable): Promise<WrittenManifest | undefined> {
    const [row] = await tx.query<{ to_index: string; manifest_index: string; entry: Buffer | null }>(
      `SELECT r.to_index, r.manifest_index, e.entry FROM retired_range r LEFT JOIN event e ON e.log_index = r.manifest_index
        ORDER BY r.to_index DESC LIMIT 1`,
    );
    if (row === undefined) return undefined;
    const index = Number(row.manifest_index);
    const content = row.entry === null ? undefined : readManifest(row.entry);
    if (content?.to !== Number(row.to_index))
      throw new AppError('internal', { internal: { reason: 'entries are retired without a manifest', index } });
    return { index, content };
  }

  /** The partition that begins at this entry. */
  async partitionAt(tx: Queryable, from: number): Promise<Partition | undefined> {
    const rows = await tx.query<{ name: string; bounds: string }>(
      `SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds FROM pg_inherits i
         JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'event'::regclass`,
    );
    return rows
      .map(({ name, bounds }) => {
        const [first, last] = [...bounds.matchAll(/\('([0-9]+)'\)/g)].map(([, value]) => Number(value));
        return { name, from: first ?? -1, to: last ?? -1 };
      })
      .find((partition) => partition.from === from && partition.to > from);
  }

  /** When the first and the last entry of a range were received; undefined unless all of them are there. */
  async received(tx: Queryable, { from, to }: Partition): Promise<{ first: Date; last: Date } | undefined> {
    const [row] = await tx.query<{ count: string; first: Date; last: Date }>(
      `SELECT count(*) AS count, min(received_at) AS first, max(received_at) AS last FROM event
        WHERE log_index >= $1 AND log_index < $2`,
      [from, to],
    );
    return row !== undefined && Number(row.count) === to - from ? { first: row.first, last: row.last } : undefined;
  }

  /** Manifests in the log that retire the entries from `from` on, the newest first; more than one after interruptions. */
  async manifestsOf(tx: Queryable, from: number): Promise<WrittenManifest[]> {
    const rows = await tx.query<{ log_index: string; entry: Buffer }>(
      "SELECT log_index, entry FROM event WHERE action = 'partition.retire' AND type = $1 ORDER BY log_index DESC LIMIT 100",
      [retirementType],
    );
    return rows.flatMap(({ log_index, entry }) => {
      const content = readManifest(entry);
      return content?.from === from ? [{ index: Number(log_index), content }] : [];
    });
  }

  /** A long statement of the owner's, in this transaction only. */
  async takeTime(tx: Tx): Promise<void> {
    await tx.query("SELECT set_config('statement_timeout', '0', true)");
  }

  /** Keeps the hashes of a range as tiles and takes its partition out of the log, where it stays as a table. */
  async detach(tx: Tx, { name, from, to }: Partition, manifest: number): Promise<void> {
    await tx.query(
      `INSERT INTO retired_tile (tile_index, hashes)
       SELECT log_index / ${tileWidth}, string_agg(leaf_hash, ''::bytea ORDER BY log_index) FROM event
        WHERE log_index >= $1 AND log_index < $2 GROUP BY 1`,
      [from, to],
    );
    await tx.query('INSERT INTO retired_range (from_index, to_index, manifest_index) VALUES ($1, $2, $3)', [
      from,
      to,
      manifest,
    ]);
    await tx.query(`ALTER TABLE event DETACH PARTITION ${partitionName(name)}`);
  }

  async drop(tx: Queryable, { name }: Partition): Promise<void> {
    await tx.query(`DROP TABLE ${partitionName(name)}`);
  }
}

/** Names come from the catalog; anything but ours would be somebody's table. */
function partitionName(name: string): string {
  if (!/^event_p[0-9]+$/.test(name)) throw new RangeError(`${name} is no partition of the log`);
  return name;
}
