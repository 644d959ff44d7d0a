import type { Database, Queryable, Tx } from '../database.js';
import type { Logger } from '../log.js';

/** Numbers after `to`, up to and including `from`, go out again; when the epoch is abandoned, under numbers of a new one. */
export interface Rewound {
  readonly epoch: string;
  readonly from: number;
  readonly to: number;
  readonly isAbandoned?: true;
}

/** Whose numbering it is, and who hears of it. */
export interface Numbering {
  readonly database: Database;
  readonly source: string;
  /** Records that numbers are published again: what the transport lost, or the database, stays visible. */
  readonly onRewound?: ((tx: Tx, rewound: Rewound) => Promise<void>) | undefined;
  readonly log: Logger;
}

interface Row {
  readonly origin: string | null;
  readonly server: string;
  readonly timeline: string;
  readonly is_ahead: boolean;
}

// A restore of files or a failover starts a new timeline of the same server; a restored dump is another database.
const originSql = `
  SELECT s.origin, s.last_xid >= pg_snapshot_xmax(pg_current_snapshot()) AS is_ahead,
         c.system_identifier::text || '/' || d.oid::text AS server,
         left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline
    FROM relay_state s, pg_control_system() c, pg_database d
   WHERE s.source = $1 AND d.datname = current_database()`;

/**
 * Makes sure that the numbering belongs to the database as it is now, before anything is published. A database that
 * came out of a dump, a restore or a failover may have lost entries that were published already: their numbers must
 * not be given to other events, so a new epoch begins. Entries that the log has under an old epoch are known to it by
 * their id. A crash here: the next one finds the epoch begun, or begins it.
 */
export async function settleOrigin(session: Queryable, numbering: Numbering): Promise<void> {
  const { source } = numbering;
  const [row] = await session.query<Row>(originSql, [source]);
  if (row === undefined) throw new TypeError(`the outbox has no relay state for ${source}`);
  const now = `${row.server}/${row.timeline}`;
  if (row.origin === now && !row.is_ahead) return;
  if (row.origin === null && !row.is_ahead) {
    await session.query('UPDATE relay_state SET origin = $2 WHERE source = $1', [source, now]);
    return;
  }
  const isForeign = row.is_ahead || row.origin?.startsWith(`${row.server}/`) !== true;
  await restartNumbering(session, { ...numbering, origin: now, isForeign });
}

/** Begins a new epoch because the outbox was set back without a new server: see {@link settleOrigin}. */
export async function restartSetBack(session: Queryable, numbering: Numbering): Promise<void> {
  const { source } = numbering;
  const [row] = await session.query<Row>(originSql, [source]);
  if (row === undefined) throw new TypeError(`the outbox has no relay state for ${source}`);
  await restartNumbering(session, { ...numbering, origin: `${row.server}/${row.timeline}`, isForeign: true });
}

interface Restart extends Numbering {
  readonly origin: string;
  readonly isForeign: boolean;
}

/**
 * The event that says so comes first: it goes out in the new epoch, after everything that goes out again, and tells the
 * log to wait no longer for what is missing in the old one. A crash in between: the next one says it again.
 */
async function restartNumbering(session: Queryable, restart: Restart): Promise<void> {
  const { database, source, origin, isForeign, onRewound, log } = restart;
  const [old] = await session.query<{ epoch: string; last_seq: string; receipt_seq: string }>(
    'SELECT epoch, last_seq, receipt_seq FROM relay_state WHERE source = $1',
    [source],
  );
  if (old !== undefined && onRewound !== undefined) {
    const rewound = { epoch: old.epoch, from: Number(old.last_seq), to: Number(old.receipt_seq) };
    await database.transaction((tx) => onRewound(tx, { ...rewound, isAbandoned: true }));
  }
  // Rewriting a large outbox takes its time, once.
  await session.query("SELECT set_config('statement_timeout', '0', false)");
  const [row] = await session.query<{ epoch: string }>('SELECT restart_outbox($1, $2) AS epoch', [origin, isForeign]);
  await session.query('RESET statement_timeout');
  log.warn({ source, epoch: row?.epoch, origin, isForeign }, 'relay.epoch_started');
}
