import { hash } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { Database } from '../database.js';
import { parseCheckpoint } from '../tlog/checkpoint.js';
import { judgeProof } from './receipt-proof.js';
import type { ProofFault, ReceiptProof } from './receipt-proof.js';

export interface ProveOptions {
  /** Asks the log to prove events. Rejects when there is no answer. */
  readonly ask: (request: {
    readonly events: { readonly id: string; readonly sha256: string }[];
    readonly since?: number;
  }) => Promise<ReceiptProof>;
  /** The log's public keys. */
  readonly keys: readonly KeyObject[];
}

interface Row {
  readonly xid: string;
  readonly id: string;
  readonly event_id: string;
  readonly entry: Buffer;
}

/** Entries that are proven, and forgotten, in one go; the most that the log is asked for at once. */
export const provenMax = 256;

/**
 * Forgets the oldest receipted entries that the log proves to have, at most {@link provenMax}: a log that lost them,
 * was set back, or tells another story than before is not believed, and everything stays. Answers how many are gone, or
 * what is wrong. A crash before the commit leaves everything; two that do it at once forget the same entries.
 */
export async function pruneProven(
  database: Database,
  source: string,
  { ask, keys }: ProveOptions,
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
  const since = kept === undefined ? 0 : Number(parseCheckpoint(kept).size);
  const events = rows.map(({ event_id, entry }) => ({ id: event_id, sha256: hash('sha256', entry, 'hex') }));
  const proof = await ask(since === 0 ? { events } : { events, since });
  const verdict = judgeProof({ events: rows.map(({ entry }) => entry), proof, keys, kept });
  if ('fault' in verdict) return verdict;
  const last = rows[verdict.proven - 1];
  return database.transaction(async (tx) => {
    await tx.query(
      'UPDATE relay_state SET proven_checkpoint = $2 WHERE source = $1 AND proven_checkpoint IS NOT DISTINCT FROM $3',
      [source, proof.checkpoint, kept ?? null],
    );
    if (last === undefined) return { pruned: 0 };
    const [row] = await tx.query<{ pruned: string }>('SELECT prune_outbox_to($1::xid8, $2::bigint) AS pruned', [
      last.xid,
      last.id,
    ]);
    return { pruned: Number(row?.pruned ?? 0) };
  });
}
