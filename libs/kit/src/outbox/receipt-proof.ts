import { hash } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { isSignedBy, parseCheckpoint, verifierKeyOf } from '../tlog/checkpoint.js';
import type { SignedCheckpoint } from '../tlog/checkpoint.js';
import { verifyConsistency, verifyInclusion } from '../tlog/proof.js';
import { CompactRange, hashBytes, leafHash, tileWidth } from '../tlog/tree.js';

/** What the log answers to prove events: see the contract `audit.receipt.prove.v1`. */
export interface ReceiptProof {
  readonly checkpoint: string;
  readonly consistency: readonly string[];
  readonly entries: readonly { readonly index: number; readonly entry?: string | undefined }[];
  readonly tiles: readonly { readonly index: number; readonly hashes: string; readonly proof: readonly string[] }[];
}

export interface ProofClaim {
  /** The bytes of the source's events, in order. */
  readonly events: readonly Uint8Array[];
  readonly proof: ReceiptProof;
  /** The log's public keys; one of them must have signed. */
  readonly keys: readonly KeyObject[];
  /** The checkpoint that the log has shown before. */
  readonly kept: string | undefined;
}

/** How many of the events, from the first on, are in the log that the checkpoint signs; or what is wrong with the answer. */
export type ProofVerdict = { readonly proven: number } | { readonly fault: ProofFault };
export type ProofFault =
  | 'malformed'
  | 'not_signed'
  | 'another_log'
  | 'shorter_than_shown'
  | 'rewritten'
  | 'hashes_not_in_tree'
  | 'another_entry';

/**
 * Holds what the log says of events against its signature: the checkpoint is signed, begins with the one that was kept,
 * and the tree that it signs has the hash of each event where the answer says. No input makes it throw.
 */
export function judgeProof({ events, proof, keys, kept }: ProofClaim): ProofVerdict {
  try {
    const now = parseCheckpoint(proof.checkpoint);
    if (!keys.some((key) => isSignedBy(now, verifierKeyOf(now.origin, key)))) return { fault: 'not_signed' };
    const fault = kept === undefined ? undefined : compare(parseCheckpoint(kept), now, proof.consistency);
    if (fault !== undefined) return { fault };
    const hashes = readTiles(now, proof.tiles);
    if (hashes === undefined) return { fault: 'hashes_not_in_tree' };
    const isEach = proof.entries.every(({ index, entry }, i) => {
      const event = events[i];
      const bytes = entry === undefined ? event : Buffer.from(entry, 'base64');
      if (event === undefined || bytes === undefined) return false;
      if (entry !== undefined && !speaksFor(bytes, event)) return false;
      return hashes.get(index)?.equals(leafHash(bytes)) === true;
    });
    return isEach ? { proven: proof.entries.length } : { fault: 'another_entry' };
  } catch {
    return { fault: 'malformed' };
  }
}

function compare(old: SignedCheckpoint, now: SignedCheckpoint, proof: readonly string[]): ProofFault | undefined {
  if (old.origin !== now.origin) return 'another_log';
  if (now.size < old.size) return 'shorter_than_shown';
  // Everything begins with the empty log.
  if (old.size === 0n) return undefined;
  const [oldSize, size] = [old.size, now.size];
  const isGrown = verifyConsistency({ oldSize, oldRoot: old.root, size, root: now.root, proof: proof.map(decode) });
  return isGrown ? undefined : 'rewritten';
}

/** Hashes of entries, by entry; undefined unless the signed tree has all of them. */
function readTiles(
  { size, root }: SignedCheckpoint,
  tiles: ReceiptProof['tiles'],
): ReadonlyMap<number, Buffer> | undefined {
  const found = new Map<number, Buffer>();
  // A tile is a complete subtree, or the right edge: above the tiles the tree is the tree of their roots.
  const count = (size + BigInt(tileWidth - 1)) / BigInt(tileWidth);
  for (const { index, hashes, proof } of tiles) {
    const bytes = decode(hashes);
    const from = index * tileWidth;
    const width = Math.min(tileWidth, Number(size) - from);
    if (bytes.length !== width * hashBytes) return undefined;
    const range = CompactRange.empty();
    for (let at = 0; at < width; at++) {
      const leaf = bytes.subarray(at * hashBytes, (at + 1) * hashBytes);
      range.append(leaf);
      found.set(from + at, leaf);
    }
    const claim = { index: BigInt(index), size: count, leafHash: range.root(), root, proof: proof.map(decode) };
    if (!verifyInclusion(claim)) return undefined;
  }
  return found;
}

/** Whether the entry says that these very bytes are in quarantine. */
function speaksFor(entry: Uint8Array, event: Uint8Array): boolean {
  const { type, change } = JSON.parse(Buffer.from(entry).toString('utf8')) as {
    type?: unknown;
    change?: { after?: { sha256?: unknown } };
  };
  return type === 'audit.event.quarantined.v1' && change?.after?.sha256 === hash('sha256', event, 'hex');
}

function decode(text: string): Buffer {
  return Buffer.from(text, 'base64');
}
