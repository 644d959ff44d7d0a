import { AppError } from '@prime-nest/contracts/errors';
import type { AuditEvent } from '@prime-nest/contracts/events';
import type { Queryable, Tx } from '@prime-nest/kit/database';
import { indexColumns, storable } from './columns.js';
import type { IndexColumns } from './columns.js';
import type { Message } from './message.js';
import { placeKey } from './sequence.js';
import type { Moved, Verdict } from './sequence.js';
import { CompactRange } from '@prime-nest/kit/tlog/tree';
import type { TreeNode } from '@prime-nest/kit/tlog/tree';

export interface LogState {
  readonly treeSize: number;
  readonly root: Buffer;
  readonly frontier: Buffer;
}

export interface LockedState extends LogState {
  readonly partitionEnd: number;
  readonly partitionRows: number;
}

export interface NewEntry {
  readonly index: number;
  readonly receivedAt: Date;
  readonly event: AuditEvent;
  readonly place: { readonly epoch: string; readonly sequence: number } | undefined;
  readonly leafHash: Buffer;
  readonly bytes: Buffer;
}

export interface AbandonedEpoch {
  readonly source: string;
  readonly epoch: string;
  readonly index: number;
}

export interface NewNode {
  readonly level: number;
  readonly index: number;
  readonly hash: Buffer;
}

const levelHeight = 8;
export const rawBytesMax = 65_536;

type Quarantined = Verdict<Message> & { kind: 'quarantine'; readonly index: number };

const insertEntriesSql = `
  INSERT INTO event (log_index, received_at, epoch, source_seq, leaf_hash, entry, event_id, occurred_at, source, type,
    actor_type, actor_id, action, resource_type, resource_id, outcome, trace_id, span_id, correlation_id)
  SELECT $1::bigint + n - 1, $2::timestamptz, epoch, source_seq, substring($3::bytea FROM n::int * 32 - 31 FOR 32),
         substring($4::bytea FROM start FOR length), event_id, occurred_at, source, type, actor_type, actor_id, action,
         resource_type, resource_id, outcome, trace_id, span_id, correlation_id
    FROM unnest($5::int[], $6::int[], $7::text[], $8::bigint[], $9::uuid[], $10::timestamptz[], $11::text[], $12::text[],
      $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[])
      WITH ORDINALITY AS u (start, length, epoch, source_seq, event_id, occurred_at, source, type, actor_type, actor_id,
      action, resource_type, resource_id, outcome, trace_id, span_id, correlation_id, n)`;

/** The writing side of the log: parts of the one transaction that appends a batch. */
export class LogStore {
  /** The state of the tree, locked until the transaction ends: there is one appender at a time, in all processes. */
  async lockState(tx: Tx): Promise<LockedState> {
    const [row] = await tx.query<{
      tree_size: string;
      root: Buffer;
      frontier: Buffer;
      partition_end: string;
      partition_rows: string;
    }>('SELECT tree_size, root, frontier, partition_end, partition_rows FROM log_state FOR UPDATE');
    if (row === undefined) throw new AppError('internal', { internal: { reason: 'the log has no state' } });
    return {
      treeSize: Number(row.tree_size),
      root: row.root,
      frontier: row.frontier,
      partitionEnd: Number(row.partition_end),
      partitionRows: Number(row.partition_rows),
    };
  }

  /** The state of the tree as this transaction sees it, not locked. */
  async readState(tx: Queryable): Promise<LogState> {
    const [row] = await tx.query<{ tree_size: string; root: Buffer; frontier: Buffer }>(
      'SELECT tree_size, root, frontier FROM log_state',
    );
    if (row === undefined) throw new AppError('internal', { internal: { reason: 'the log has no state' } });
    return { treeSize: Number(row.tree_size), root: row.root, frontier: row.frontier };
  }

  /**
   * Watermarks of these places, and which of them their source has given up, by place key. Gateways come and go: a source
   * has any number of epochs.
   */
  async places(
    tx: Tx,
    places: readonly { readonly source: string; readonly epoch: string }[],
  ): Promise<{ lastSequence: Map<string, number>; abandoned: Set<string> }> {
    const rows = await tx.query<{ source: string; epoch: string; last_seq: string | null; is_abandoned: boolean }>(
      `SELECT p.source, p.epoch, s.last_seq, a.source IS NOT NULL AS is_abandoned
         FROM unnest($1::text[], $2::text[]) AS p (source, epoch)
         LEFT JOIN source_state s ON (s.source, s.epoch) = (p.source, p.epoch)
         LEFT JOIN abandoned_epoch a ON (a.source, a.epoch) = (p.source, p.epoch)`,
      [places.map(({ source }) => source), places.map(({ epoch }) => epoch)],
    );
    return {
      lastSequence: new Map(rows.map((row) => [placeKey(row.source, row.epoch), Number(row.last_seq ?? 0)])),
      abandoned: new Set(rows.flatMap((row) => (row.is_abandoned ? [placeKey(row.source, row.epoch)] : []))),
    };
  }

  /** Epochs that their sources say they have given up, each with the entry that says so. */
  async insertAbandoned(tx: Tx, epochs: readonly AbandonedEpoch[]): Promise<void> {
    if (epochs.length === 0) return;
    await tx.query(
      `INSERT INTO abandoned_epoch (source, epoch, log_index) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
       ON CONFLICT (source, epoch) DO NOTHING`,
      [epochs.map(({ source }) => source), epochs.map(({ epoch }) => epoch), epochs.map(({ index }) => index)],
    );
  }

  /** Leaf hashes of those of the event ids that are in the log. */
  async leavesOf(tx: Tx, ids: readonly string[]): Promise<Map<string, Buffer>> {
    if (ids.length === 0) return new Map();
    const rows = await tx.query<{ event_id: string; leaf_hash: Buffer }>(
      'SELECT event_id, leaf_hash FROM event WHERE event_id = ANY($1::uuid[])',
      [ids],
    );
    return new Map(rows.map((row) => [row.event_id, row.leaf_hash]));
  }

  /** Those of the fingerprints that are in quarantine, as hex. */
  async quarantinedAmong(tx: Tx, fingerprints: readonly Buffer[]): Promise<Set<string>> {
    if (fingerprints.length === 0) return new Set();
    const rows = await tx.query<{ fingerprint: Buffer }>(
      'SELECT fingerprint FROM quarantine WHERE fingerprint = ANY($1::bytea[])',
      [fingerprints],
    );
    return new Set(rows.map((row) => row.fingerprint.toString('hex')));
  }

  /** Makes sure that rows below `size` have a partition, well before they need one. */
  async ensurePartition(tx: Tx, { partitionEnd, partitionRows }: LockedState, size: number): Promise<void> {
    for (let end = partitionEnd; size + partitionRows / 2 > end;) {
      const [row] = await tx.query<{ end: string }>('SELECT add_event_partition() AS end');
      const next = Number(row?.end);
      if (!(next > end)) return;
      end = next;
    }
  }

  /**
   * Puts entries at the end of the log: their rows, the subtree roots that they close, and the tree's state, which
   * must be locked. Answers the new size.
   */
  async grow(tx: Tx, state: LockedState, entries: readonly Omit<NewEntry, 'index'>[]): Promise<number> {
    const range = CompactRange.fromBytes(state.treeSize, state.frontier);
    const closed: TreeNode[] = [];
    const placed = entries.map((entry) => {
      const index = range.size;
      closed.push(...range.append(entry.leafHash));
      return { ...entry, index };
    });
    await this.ensurePartition(tx, state, range.size);
    const nodes = closed
      .filter(({ height }) => height > 0 && height % levelHeight === 0)
      .map(({ height, index, hash }) => ({ level: height / levelHeight, index, hash }));
    const grown = { treeSize: range.size, root: range.root(), frontier: range.toBytes() };
    // Sent at once, done in this order.
    await Promise.all([
      this.insertEntries(tx, placed),
      this.insertLeafRun(tx, placed),
      this.insertNodes(tx, nodes),
      this.moveState(tx, state.treeSize, grown),
    ]);
    return range.size;
  }

  /** Adds the rows of neighbouring entries of one batch. */
  async insertEntries(tx: Tx, entries: readonly NewEntry[]): Promise<void> {
    const [first] = entries;
    if (first === undefined) return;
    const indexed = entries.map(({ event }) => indexColumns(event));
    const column = (name: keyof IndexColumns) => indexed.map((columns) => columns[name]);
    let end = 1;
    const starts = entries.map(({ bytes }) => (end += bytes.length) - bytes.length);
    await tx.query(insertEntriesSql, [
      first.index,
      first.receivedAt.toISOString(),
      // Bytes in one piece each: as elements of an array they would go over as text, twice as long.
      Buffer.concat(entries.map(({ leafHash }) => leafHash)),
      Buffer.concat(entries.map(({ bytes }) => bytes)),
      starts,
      entries.map(({ bytes }) => bytes.length),
      entries.map(({ place }) => place?.epoch ?? null),
      entries.map(({ place }) => place?.sequence ?? null),
      column('event_id'),
      column('occurred_at'),
      column('source'),
      column('type'),
      column('actor_type'),
      column('actor_id'),
      column('action'),
      column('resource_type'),
      column('resource_id'),
      column('outcome'),
      column('trace_id'),
      column('span_id'),
      column('correlation_id'),
    ]);
  }

  /** The hashes of neighbouring entries a second time: an entry that is changed together with its hash differs from them. */
  async insertLeafRun(tx: Tx, entries: readonly Pick<NewEntry, 'index' | 'leafHash'>[]): Promise<void> {
    const [first] = entries;
    if (first === undefined) return;
    await tx.query('INSERT INTO leaf_run (first_index, hashes) VALUES ($1, $2)', [
      first.index,
      Buffer.concat(entries.map(({ leafHash }) => leafHash)),
    ]);
  }

  /** Keeps messages that could not become entries; of a very long one the beginning, its entry has digest and length. */
  async insertQuarantined(tx: Tx, quarantined: readonly Quarantined[], receivedAt: Date): Promise<void> {
    if (quarantined.length === 0) return;
    const column = <T>(of: (one: Quarantined) => T) => quarantined.map(of);
    await tx.query(
      `INSERT INTO quarantine (received_at, log_index, reason, subject, source, epoch, source_seq, fingerprint, raw)
       SELECT $1::timestamptz, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
         $8::bytea[], $9::bytea[])`,
      [
        receivedAt.toISOString(),
        column(({ index }) => index),
        column(({ reason }) => reason),
        column(({ candidate }) => storable(candidate.subject)),
        column(({ candidate }) => storable(candidate.source)),
        column(({ candidate }) => storable(candidate.headers.epoch)),
        column(({ candidate }) => storable(candidate.headers.sequence)),
        column(({ candidate }) => candidate.fingerprint()),
        column(({ candidate }) => candidate.bytes.subarray(0, rawBytesMax)),
      ],
    );
  }

  async insertNodes(tx: Tx, nodes: readonly NewNode[]): Promise<void> {
    if (nodes.length === 0) return;
    await tx.query(
      'INSERT INTO tree_node (level, node_index, hash) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])',
      [nodes.map(({ level }) => level), nodes.map(({ index }) => index), nodes.map(({ hash }) => hash)],
    );
  }

  async moveSources(tx: Tx, moved: readonly Moved[], at: Date): Promise<void> {
    if (moved.length === 0) return;
    await tx.query(
      `INSERT INTO source_state (source, epoch, last_seq, last_leaf, updated_at)
       SELECT *, $5::timestamptz FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[])
       ON CONFLICT (source, epoch) DO UPDATE
         SET last_seq = EXCLUDED.last_seq, last_leaf = EXCLUDED.last_leaf, updated_at = EXCLUDED.updated_at`,
      [
        moved.map(({ source }) => source),
        moved.map(({ epoch }) => epoch),
        moved.map(({ sequence }) => sequence),
        moved.map(({ leafHash }) => leafHash),
        at.toISOString(),
      ],
    );
  }

  /** Compare and set. Another size than the locked one means that the fence does not hold: nothing is committed then. */
  async moveState(tx: Tx, from: number, { treeSize, root, frontier }: LogState): Promise<void> {
    const rows = await tx.query(
      'UPDATE log_state SET tree_size = $2, root = $3, frontier = $4 WHERE tree_size = $1 RETURNING tree_size',
      [from, treeSize, root, frontier],
    );
    if (rows.length !== 1)
      throw new AppError('internal', { internal: { reason: 'the tree grew under a held lock', from } });
  }
}

/** Whether PostgreSQL refuses the values of a statement (SQLSTATE classes 22 and 23), and always will. */
export function isDataError(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const driver: unknown = 'driverError' in error ? error.driverError : error;
  const code: unknown = typeof driver === 'object' && driver !== null && 'code' in driver ? driver.code : undefined;
  return typeof code === 'string' && /^2[23]...$/.test(code);
}
