import type { Queryable, Tx } from '@prime-nest/kit/database';
import type { PassedNumber, PlacedEntry, RecordedSource, SourceAccount } from './source-record.js';

/** A number taken without an entry of its own, before it is known which entry speaks for it. */
export interface NewPassedNumber {
  readonly source: string;
  readonly epoch: string;
  readonly sequence: number;
  readonly by: { readonly eventId: string } | { readonly fingerprint: Buffer };
}

/** Which numbers of which source the log has taken, and how far that is recorded in the log itself. */
export class SourceStore {
  /** Adds numbers whose entry or quarantined message is in the log, by this transaction at the latest. */
  async insertPassed(tx: Tx, numbers: readonly NewPassedNumber[]): Promise<void> {
    if (numbers.length === 0) return;
    await tx.query(
      `INSERT INTO source_number (source, epoch, source_seq, kind, log_index)
       SELECT n.source, n.epoch, n.seq, CASE WHEN n.event_id IS NULL THEN 'quarantined' ELSE 'repeated' END,
              COALESCE(e.log_index, q.log_index)
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::bytea[]) AS n (source, epoch, seq, event_id, fingerprint)
         LEFT JOIN event e ON e.event_id = n.event_id
         LEFT JOIN quarantine q ON q.fingerprint = n.fingerprint`,
      [
        numbers.map(({ source }) => source),
        numbers.map(({ epoch }) => epoch),
        numbers.map(({ sequence }) => sequence),
        numbers.map(({ by }) => ('eventId' in by ? by.eventId : null)),
        numbers.map(({ by }) => ('fingerprint' in by ? by.fingerprint : null)),
      ],
    );
  }

  async recordedSize(tx: Queryable): Promise<number> {
    const [row] = await tx.query<{ recorded_size: string }>('SELECT recorded_size FROM log_state');
    return Number(row?.recorded_size ?? 0);
  }

  /** Of the sources that have numbers in these entries, or any that no record names yet. */
  async recorded(tx: Queryable, from: number, to: number): Promise<RecordedSource[]> {
    const rows = await tx.query<{ source: string; epoch: string; recorded_seq: string }>(
      `SELECT source, epoch, recorded_seq FROM source_state
        WHERE (source, epoch) IN (SELECT source, epoch FROM event WHERE log_index >= $1 AND log_index < $2)
           OR recorded_seq < last_seq`,
      [from, to],
    );
    return rows.map(({ source, epoch, recorded_seq }) => ({ source, epoch, sequence: Number(recorded_seq) }));
  }

  async placedEntries(tx: Queryable, from: number, to: number): Promise<PlacedEntry[]> {
    const rows = await tx.query<{ log_index: string; source: string; epoch: string | null; source_seq: string | null }>(
      'SELECT log_index, source, epoch, source_seq FROM event WHERE log_index >= $1 AND log_index < $2 ORDER BY log_index',
      [from, to],
    );
    return rows.map(({ log_index, source, epoch, source_seq }) => ({
      index: Number(log_index),
      source,
      place: epoch === null || source_seq === null ? undefined : { epoch, sequence: Number(source_seq) },
    }));
  }

  /** Numbers without an entry of their own that no record names yet and that an entry below `to` speaks for. */
  async passedNumbers(tx: Queryable, to: number, limit: number): Promise<PassedNumber[]> {
    const rows = await tx.query<{
      source: string;
      epoch: string;
      source_seq: string;
      kind: PassedNumber['kind'];
      log_index: string;
    }>(
      `SELECT n.source, n.epoch, n.source_seq, n.kind, n.log_index FROM source_state s
         JOIN source_number n ON n.source = s.source AND n.epoch = s.epoch AND n.source_seq > s.recorded_seq
        WHERE n.log_index < $1 ORDER BY n.source, n.epoch, n.source_seq LIMIT $2`,
      [to, limit],
    );
    return rows.map(({ source, epoch, source_seq, kind, log_index }) => ({
      source,
      epoch,
      sequence: Number(source_seq),
      kind,
      index: Number(log_index),
    }));
  }

  async moveRecorded(tx: Tx, size: number, accounts: readonly SourceAccount[]): Promise<void> {
    await tx.query('UPDATE log_state SET recorded_size = $1', [size]);
    await tx.query(
      `UPDATE source_state s SET recorded_seq = n.seq
         FROM unnest($1::text[], $2::text[], $3::bigint[]) AS n (source, epoch, seq)
        WHERE s.source = n.source AND s.epoch = n.epoch`,
      [
        accounts.map(({ source }) => source),
        accounts.map(({ epoch }) => epoch),
        accounts.map(({ sequence }) => sequence),
      ],
    );
  }
}
