import type { Database } from '../database.js';
import { proveEvents, provenMax } from './prove-events.js';
import type { ProveOptions } from './prove-events.js';
import type { ProofFault } from './receipt-proof.js';

interface Row {
  readonly xid: string;
  readonly id: string;
  readonly event_id: string;
  readonly entry: Buffer;
}

/**
 * Forgets the oldest receipted entries that the log proves to have, at most {@link provenMax}: a log that lost them,
 * was set back, or tells another story than before is not believed, and everything stays. Answers how many are gone, or
 * what is wrong. A crash before the commit leaves everything; two that do it at once forget the same entries.
 */
export async function pruneProven(
  database: Database,
  source: string,
  options: ProveOptions,
): Promise<{ readonly pruned: number } | { readonly fault: ProofFault }> {
  const rows = await database.query<Row>(
    'SELECT xid::text, id::text, event_id, entry FROM prunable_outbox($1) ORDER BY prunable_outbox.xid, prunable_outbox.id',
    [provenMax],
  );
  if (rows.length === 0) return { pruned: 0 };
  const [state] = await database.query<{ note: string | null }>(
    'SELECT proven_checkpoint AS note FROM relay_state WHERE source = $1',
    [source],
  );
  const kept = state?.note ?? undefined;
  const events = rows.map(({ event_id: eventId, entry }) => ({ eventId, entry }));
  const outcome = await proveEvents(events, kept, options);
  if ('fault' in outcome) return outcome;
  const last = rows[outcome.proven - 1];
  return database.transaction(async (tx) => {
    await tx.query(
      'UPDATE relay_state SET proven_checkpoint = $2 WHERE source = $1 AND proven_checkpoint IS NOT DISTINCT FROM $3',
      [source, outcome.checkpoint, kept ?? null],
    );
    if (last === undefined) return { pruned: 0 };
    const [row] = await tx.query<{ pruned: string }>('SELECT prune_outbox_to($1::xid8, $2::bigint) AS pruned', [
      last.xid,
      last.id,
    ]);
    return { pruned: Number(row?.pruned ?? 0) };
  });
}
