import { AppError } from '@prime-nest/contracts/errors';
import type { Queryable } from '@prime-nest/kit/database';
import type { IndexColumns } from '../log/columns.js';
import type { PassedNumber, Place } from '../log/source-record.js';
import type { StoredNumbering } from './numbering-check.js';
import type { QuarantinedRow } from './quarantine-check.js';
import type { JudgedRecord } from './source-check.js';
import { hashBytes } from '@prime-nest/kit/tlog/tree';

export interface StoredLogRow {
  readonly index: number;
  readonly leafHash: Buffer;
  readonly bytes: Buffer;
  readonly columns: IndexColumns;
  /** The number of its source that it is said to be; null for one that the log wrote itself. */
  readonly place: Place | null;
}

export interface StoredState {
  readonly treeSize: number;
  readonly root: Buffer;
  readonly numbering: StoredNumbering;
}

export interface StoredTree {
  readonly size: number;
  readonly root: Buffer;
  readonly note: string;
}

const chunk = 2_000;
const tileWidth = 256;
const tilesPerChunk = 8;

/** The log as it lies in the database, for whoever checks it: reads everything, trusts nothing. */
export class StoredLogStore {
  /** In one statement, hence of one moment: the tree and what is said of the numbers in it move together. */
  async state(tx: Queryable): Promise<StoredState> {
    const [row] = await tx.query<
      { tree_size: string; root: Buffer; recorded_size: string } & Pick<StoredNumbering, 'sources' | 'passed'>
    >(
      `SELECT tree_size, root, recorded_size,
              (SELECT COALESCE(json_agg(json_build_object('source', source, 'epoch', epoch, 'sequence', recorded_seq,
                      'last', last_seq)), '[]') FROM source_state) AS sources,
              (SELECT COALESCE(json_agg(json_build_object('source', n.source, 'epoch', n.epoch, 'sequence', n.source_seq,
                      'kind', n.kind, 'index', n.log_index)), '[]')
                 FROM source_state s JOIN source_number n
                   ON n.source = s.source AND n.epoch = s.epoch AND n.source_seq > s.recorded_seq) AS passed
         FROM log_state`,
    );
    if (row === undefined) throw new AppError('internal', { internal: { reason: 'the log has no state' } });
    const { tree_size, root, recorded_size, sources, passed } = row;
    return { treeSize: Number(tree_size), root, numbering: { recordedSize: Number(recorded_size), sources, passed } };
  }

  /** What is kept of the numbers without an entry of their own in these stretches. */
  async passedNumbers(tx: Queryable, accounts: JudgedRecord['accounts']): Promise<PassedNumber[]> {
    const rows = await tx.query<{ passed: PassedNumber }>(
      `SELECT json_build_object('source', n.source, 'epoch', n.epoch, 'sequence', n.source_seq, 'kind', n.kind,
                'index', n.log_index) AS passed
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS a (source, epoch, after, seq)
         JOIN source_number n ON n.source = a.source AND n.epoch = a.epoch AND n.source_seq > a.after AND n.source_seq <= a.seq`,
      [
        accounts.map(({ source }) => source),
        accounts.map(({ epoch }) => epoch),
        accounts.map(({ after }) => after),
        accounts.map(({ sequence }) => sequence),
      ],
    );
    return rows.map(({ passed }) => passed);
  }

  /** What is kept of messages in quarantine, by the entries that stand for them. */
  async quarantined(tx: Queryable, indexes: readonly number[]): Promise<ReadonlyMap<number, QuarantinedRow>> {
    const rows = await tx.query<QuarantinedRow & { log_index: string }>(
      `SELECT log_index, reason, subject, source, epoch, source_seq AS sequence, raw FROM quarantine
        WHERE log_index = ANY($1::bigint[])`,
      [indexes],
    );
    return new Map(rows.map(({ log_index, ...row }) => [Number(log_index), row]));
  }

  /** Entries that the newest checkpoint covers; undefined without one. */
  async newestSigned(tx: Queryable): Promise<number | undefined> {
    const [row] = await tx.query<{ size: string | null }>('SELECT max(tree_size) AS size FROM checkpoint');
    return typeof row?.size === 'string' ? Number(row.size) : undefined;
  }

  /** Checkpoints of more than `from` and at most `to` entries, the smallest first, and at most so many. */
  async checkpoints(tx: Queryable, { from, to }: { from: number; to: number }, limit = chunk): Promise<StoredTree[]> {
    const rows = await tx.query<{ tree_size: string; root: Buffer; note: string }>(
      'SELECT tree_size, root, note FROM checkpoint WHERE tree_size > $1 AND tree_size <= $2 ORDER BY tree_size LIMIT $3',
      [from, to, limit],
    );
    return rows.map(({ tree_size, root, note }) => ({ size: Number(tree_size), root, note }));
  }

  /** The hashes that the entries `from` to `to` (exclusive) were appended with, by entry; those that are not there are left out. */
  async appendedHashes(tx: Queryable, from: number, to: number): Promise<ReadonlyMap<number, Buffer>> {
    const rows = await tx.query<{ first_index: string; hashes: Buffer }>(
      `SELECT first_index, hashes FROM leaf_run WHERE first_index < $2
          AND first_index >= COALESCE((SELECT max(first_index) FROM leaf_run WHERE first_index <= $1), 0)
        ORDER BY first_index`,
      [from, to],
    );
    const found = new Map<number, Buffer>();
    for (const { first_index, hashes } of rows) {
      for (let i = 0; i < hashes.length / hashBytes; i++) {
        const index = Number(first_index) + i;
        if (index >= from && index < to) found.set(index, hashes.subarray(i * hashBytes, (i + 1) * hashBytes));
      }
    }
    return found;
  }

  /** How far entries are said to be retired, with the entry that is said to say so. */
  async retirement(tx: Queryable): Promise<{ to: number; manifest: number; bytes: Buffer | undefined } | undefined> {
    const [row] = await tx.query<{ to_index: string; manifest_index: string; entry: Buffer | null }>(
      `SELECT r.to_index, r.manifest_index, e.entry FROM retired_range r LEFT JOIN event e ON e.log_index = r.manifest_index
        ORDER BY r.to_index DESC LIMIT 1`,
    );
    if (row === undefined) return undefined;
    return { to: Number(row.to_index), manifest: Number(row.manifest_index), bytes: row.entry ?? undefined };
  }

  /** The hashes of the next retired entries from `from` on, which begins a tile; none when they are not there. */
  async retiredHashes(tx: Queryable, from: number): Promise<Buffer[]> {
    const rows = await tx.query<{ tile_index: string; hashes: Buffer }>(
      'SELECT tile_index, hashes FROM retired_tile WHERE tile_index >= $1 AND tile_index < $2 ORDER BY tile_index',
      [from / tileWidth, from / tileWidth + tilesPerChunk],
    );
    const gap = rows.findIndex(({ tile_index }, i) => Number(tile_index) !== from / tileWidth + i);
    const bytes = Buffer.concat(rows.slice(0, gap === -1 ? undefined : gap).map(({ hashes }) => hashes));
    return Array.from({ length: bytes.length / hashBytes }, (_, i) =>
      bytes.subarray(i * hashBytes, (i + 1) * hashBytes),
    );
  }

  /** The next entries from `from` on, below `to`. */
  async entries(tx: Queryable, from: number, to: number): Promise<StoredLogRow[]> {
    const rows = await tx.query<
      {
        log_index: string;
        leaf_hash: Buffer;
        entry: Buffer;
        occurred_at: Date;
        epoch: string | null;
        source_seq: string | null;
      } & Omit<IndexColumns, 'occurred_at'>
    >(
      `SELECT log_index, leaf_hash, entry, event_id, occurred_at, source, type, actor_type, actor_id, action, resource_type,
              resource_id, outcome, trace_id, span_id, correlation_id, epoch, source_seq
         FROM event WHERE log_index >= $1 AND log_index < $2 ORDER BY log_index LIMIT $3`,
      [from, to, chunk],
    );
    return rows.map(({ log_index, leaf_hash, entry, occurred_at, epoch, source_seq, ...columns }) => ({
      index: Number(log_index),
      leafHash: leaf_hash,
      bytes: entry,
      place: epoch === null && source_seq === null ? null : { epoch: epoch ?? '', sequence: Number(source_seq ?? 0) },
      columns: { ...columns, occurred_at: occurred_at.toISOString() },
    }));
  }

  /** Stored subtree roots in the order asked for; undefined for one that is not there. */
  async nodes(tx: Queryable, wanted: readonly { level: number; index: number }[]): Promise<(Buffer | undefined)[]> {
    if (wanted.length === 0) return [];
    const rows = await tx.query<{ n: number; hash: Buffer | null }>(
      `SELECT w.n, t.hash FROM unnest($1::int[], $2::int[], $3::bigint[]) AS w (n, level, at)
         LEFT JOIN tree_node t ON t.level = w.level AND t.node_index = w.at ORDER BY w.n`,
      [wanted.map((_, n) => n), wanted.map(({ level }) => level), wanted.map(({ index }) => index)],
    );
    return rows.map(({ hash }) => hash ?? undefined);
  }

  async countFrom(tx: Queryable, index: number): Promise<number> {
    const [row] = await tx.query<{ count: string }>('SELECT count(*) AS count FROM event WHERE log_index >= $1', [
      index,
    ]);
    return Number(row?.count ?? 0);
  }
}
