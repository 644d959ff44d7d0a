import type { Queryable } from '../database.js';
import type { Logger } from '../log.js';

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
export async function settleOrigin(database: Queryable, source: string, log: Logger): Promise<void> {
  const [row] = await database.query<Row>(originSql, [source]);
  if (row === undefined) throw new TypeError(`the outbox has no relay state for ${source}`);
  const now = `${row.server}/${row.timeline}`;
  if (row.origin === now && !row.is_ahead) return;
  if (row.origin === null && !row.is_ahead) {
    await database.query('UPDATE relay_state SET origin = $2 WHERE source = $1', [source, now]);
    return;
  }
  const isForeign = row.is_ahead || row.origin?.startsWith(`${row.server}/`) !== true;
  await restartNumbering(database, { source, origin: now, isForeign, log });
}

/** Begins a new epoch because the outbox was set back without a new server: see {@link settleOrigin}. */
export async function restartSetBack(database: Queryable, source: string, log: Logger): Promise<void> {
  const [row] = await database.query<Row>(originSql, [source]);
  if (row === undefined) throw new TypeError(`the outbox has no relay state for ${source}`);
  await restartNumbering(database, { source, origin: `${row.server}/${row.timeline}`, isForeign: true, log });
}

interface Restart {
  readonly source: string;
  readonly origin: string;
  readonly isForeign: boolean;
  readonly log: Logger;
}

async function restartNumbering(database: Queryable, { source, origin, isForeign, log }: Restart): Promise<void> {
  // Rewriting a large outbox takes its time, once.
  await database.query("SELECT set_config('statement_timeout', '0', false)");
  const [row] = await database.query<{ epoch: string }>('SELECT restart_outbox($1, $2) AS epoch', [origin, isForeign]);
  await database.query('RESET statement_timeout');
  log.warn({ source, epoch: row?.epoch, origin, isForeign }, 'relay.epoch_started');
}
