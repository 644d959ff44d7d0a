import { hash } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
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

/** Entries that are proven, and forgotten, in one go; the most that the log is asked for at once. */
export const provenMax = 256;

export interface StoredEvent {
  readonly eventId: string;
  readonly entry: Uint8Array;
}

/** How many of the events, from the first on, the log has, and the checkpoint to keep; or what is wrong with it. */
export type Proven = { readonly proven: number; readonly checkpoint: string } | { readonly fault: ProofFault };

/**
 * Has the log prove events, at least one and at most {@link provenMax}, by a history that begins with the checkpoint
 * that was `kept`. Rejects when the log gives no answer. Wherever the source keeps its events: it forgets none before.
 */
export async function proveEvents(
  events: readonly StoredEvent[],
  kept: string | undefined,
  { ask, keys }: ProveOptions,
): Promise<Proven> {
  const since = kept === undefined ? 0 : Number(parseCheckpoint(kept).size);
  const asked = events.map(({ eventId, entry }) => ({ id: eventId, sha256: hash('sha256', entry, 'hex') }));
  const proof = await ask(since === 0 ? { events: asked } : { events: asked, since });
  const verdict = judgeProof({ events: events.map(({ entry }) => entry), proof, keys, kept });
  return 'fault' in verdict ? verdict : { proven: verdict.proven, checkpoint: proof.checkpoint };
}
