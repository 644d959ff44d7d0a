import { foldSubtrees, hashBytes, nodeHash } from './tree.js';

/** Leaves `from` (inclusive) to `to` (exclusive). */
export interface LeafRange {
  readonly from: number;
  readonly to: number;
}

/** A complete subtree: 2^height leaves, the `index`-th of that height. */
export interface NodePosition {
  readonly height: number;
  readonly index: number;
}

/**
 * The subtrees whose roots prove that leaf `index` is in the tree of `size`, from the leaf upwards (RFC 6962 §2.1.1).
 * Throws a RangeError when it is not in there.
 */
export function inclusionRanges(index: number, size: number): LeafRange[] {
  if (!isCount(index) || !isCount(size) || index >= size) throw new RangeError('the entry is not in the tree');
  const ranges: LeafRange[] = [];
  let [from, to] = [0, size];
  while (to - from > 1) {
    const middle = from + split(to - from);
    if (index < middle) {
      ranges.unshift({ from: middle, to });
      to = middle;
    } else {
      ranges.unshift({ from, to: middle });
      from = middle;
    }
  }
  return ranges;
}

/**
 * The subtrees whose roots prove that the tree of `size` begins with the tree of `oldSize` (RFC 6962 §2.1.2). Throws
 * a RangeError unless 0 < oldSize <= size: the empty tree proves nothing.
 */
export function consistencyRanges(oldSize: number, size: number): LeafRange[] {
  if (!isCount(oldSize) || !isCount(size) || oldSize < 1 || oldSize > size)
    throw new RangeError('no such pair of trees');
  const ranges: LeafRange[] = [];
  let [from, to] = [0, size];
  while (oldSize < to) {
    const middle = from + split(to - from);
    if (oldSize <= middle) {
      ranges.unshift({ from: middle, to });
      to = middle;
    } else {
      ranges.unshift({ from, to: middle });
      from = middle;
    }
  }
  // The old tree itself is known to whoever asks; a part of it is not.
  if (from > 0) ranges.unshift({ from, to });
  return ranges;
}

/** The complete subtrees that make up a range of a proof, the biggest first: {@link rangeRoot} joins them. */
export function rangeNodes({ from, to }: LeafRange): NodePosition[] {
  const nodes: NodePosition[] = [];
  for (let at = from; at < to;) {
    const height = Math.floor(Math.log2(to - at));
    nodes.push({ height, index: at / 2 ** height });
    at += 2 ** height;
  }
  return nodes;
}

/** Root of a range from the hashes of its {@link rangeNodes}. */
export function rangeRoot(hashes: readonly Buffer[]): Buffer {
  const root = foldSubtrees(hashes);
  if (root === undefined) throw new RangeError('an empty range has no root in a proof');
  return root;
}

export interface InclusionClaim {
  readonly index: bigint;
  readonly size: bigint;
  readonly leafHash: Uint8Array;
  readonly root: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/** Whether the proof shows that the leaf stands at `index` of the tree with that size and root (RFC 9162 §2.1.3.2). */
export function verifyInclusion({ index, size, leafHash, root, proof }: InclusionClaim): boolean {
  if (index < 0n || index >= size || ![leafHash, root, ...proof].every(isHash)) return false;
  let [node, last] = [index, size - 1n];
  let hash: Buffer = Buffer.from(leafHash);
  for (const step of proof) {
    if (last === 0n) return false;
    if (node % 2n === 1n || node === last) {
      hash = nodeHash(step, hash);
      while (node % 2n === 0n && node !== 0n) [node, last] = [node / 2n, last / 2n];
    } else hash = nodeHash(hash, step);
    [node, last] = [node / 2n, last / 2n];
  }
  return last === 0n && hash.equals(root);
}

export interface ConsistencyClaim {
  readonly oldSize: bigint;
  readonly oldRoot: Uint8Array;
  readonly size: bigint;
  readonly root: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/**
 * Whether the proof shows that the bigger tree begins with the smaller one (RFC 9162 §2.1.4.2). The empty tree is
 * refused: everything begins with it, so it would prove nothing.
 */
export function verifyConsistency({ oldSize, oldRoot, size, root, proof }: ConsistencyClaim): boolean {
  if (oldSize < 1n || oldSize > size) return false;
  if (oldSize === size) return proof.length === 0 && Buffer.from(oldRoot).equals(root);
  if (![oldRoot, root, ...proof].every(isHash)) return false;
  const isComplete = (oldSize & (oldSize - 1n)) === 0n;
  const [first, ...steps] = isComplete ? [oldRoot, ...proof] : proof;
  if (first === undefined || proof.length === 0) return false;
  let [node, last] = [oldSize - 1n, size - 1n];
  while (node % 2n === 1n) [node, last] = [node / 2n, last / 2n];
  let oldHash: Buffer = Buffer.from(first);
  let hash = oldHash;
  for (const step of steps) {
    if (last === 0n) return false;
    if (node % 2n === 1n || node === last) {
      oldHash = nodeHash(step, oldHash);
      hash = nodeHash(step, hash);
      while (node % 2n === 0n && node !== 0n) [node, last] = [node / 2n, last / 2n];
    } else hash = nodeHash(hash, step);
    [node, last] = [node / 2n, last / 2n];
  }
  return last === 0n && oldHash.equals(oldRoot) && hash.equals(root);
}

/** The greatest power of two below `count` (RFC 6962 §2.1: k). */
function split(count: number): number {
  return 2 ** Math.floor(Math.log2(count - 1));
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function isHash(value: Uint8Array): boolean {
  return value.length === hashBytes;
}
