import type { KeyObject } from 'node:crypto';
import type { ReceiptProof } from '@prime-nest/kit/outbox/receipt-proof';
import { signCheckpoint } from '@prime-nest/kit/tlog/checkpoint';
import { consistencyRanges, inclusionRanges } from '@prime-nest/kit/tlog/proof';
import type { LeafRange } from '@prime-nest/kit/tlog/proof';
import { leafHash, nodeHash } from '@prime-nest/kit/tlog/tree';

interface LogOptions {
  readonly signer: KeyObject;
  /** What it answers instead. */
  readonly over?: Partial<ReceiptProof>;
}

/** A log of these entries that proves what it is asked, by a tree of its own making. */
export function signedLog(held: readonly Uint8Array[], { signer, over = {} }: LogOptions) {
  const entries = held.map((entry) => Buffer.from(entry));
  const leaves = entries.map((entry) => leafHash(entry));
  const roots = (ranges: readonly LeafRange[], width = 1) =>
    ranges.map(({ from, to }) => rootOf(leaves.slice(from * width, to * width)).toString('base64'));
  return ({ events, since }: { events: readonly { id: string }[]; since?: number }): Promise<ReceiptProof> => {
    const places = events.map(({ id }) => entries.findIndex((entry) => entry.includes(id)));
    const known = places.slice(0, places.includes(-1) ? places.indexOf(-1) : undefined);
    const root = rootOf(leaves);
    return Promise.resolve({
      checkpoint: signCheckpoint({ origin: 'example.org/log', size: BigInt(entries.length), root }, signer),
      consistency: since === undefined || since > entries.length ? [] : roots(consistencyRanges(since, entries.length)),
      entries: known.map((index) => ({ index })),
      tiles: [...new Set(known.map((index) => Math.floor(index / 256)))].map((index) => ({
        index,
        hashes: Buffer.concat(leaves.slice(index * 256, index * 256 + 256)).toString('base64'),
        proof: roots(inclusionRanges(index, Math.ceil(entries.length / 256)), 256),
      })),
      ...over,
    });
  };
}

function rootOf(leaves: readonly Buffer[]): Buffer {
  const [only] = leaves;
  if (only !== undefined && leaves.length === 1) return only;
  const middle = 2 ** Math.floor(Math.log2(leaves.length - 1));
  return nodeHash(rootOf(leaves.slice(0, middle)), rootOf(leaves.slice(middle)));
}
