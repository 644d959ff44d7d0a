import { describe, expect, test } from '@jest/globals';
import {
  consistencyRanges,
  inclusionRanges,
  rangeNodes,
  rangeRoot,
  verifyConsistency,
  verifyInclusion,
} from './proof.js';
import type { LeafRange } from './proof.js';
import { CompactRange, leafHash, nodeHash } from './tree.js';

const sizeMax = 70;
const leaves = Array.from({ length: sizeMax }, (_, i) => leafHash(Buffer.from(`leaf ${i}`)));
const roots = [CompactRange.empty().root()];
const nodes = new Map<string, Buffer>();
{
  const range = CompactRange.empty();
  for (const leaf of leaves) {
    for (const { height, index, hash } of range.append(leaf)) nodes.set(`${height} ${index}`, hash);
    roots.push(range.root());
  }
}

function prove(ranges: readonly LeafRange[]): Buffer[] {
  return ranges.map((range) =>
    rangeRoot(rangeNodes(range).map(({ height, index }) => nodes.get(`${height} ${index}`) ?? Buffer.alloc(0))),
  );
}

const inclusion = (index: number, size: number) => ({
  index: BigInt(index),
  size: BigInt(size),
  leafHash: leaves[index] ?? Buffer.alloc(0),
  root: roots[size] ?? Buffer.alloc(0),
  proof: prove(inclusionRanges(index, size)),
});
const consistency = (oldSize: number, size: number) => ({
  oldSize: BigInt(oldSize),
  size: BigInt(size),
  oldRoot: roots[oldSize] ?? Buffer.alloc(0),
  root: roots[size] ?? Buffer.alloc(0),
  proof: prove(consistencyRanges(oldSize, size)),
});

/** Every way to spoil a list of hashes by one bit, one hash more, or one less. */
function* spoiled(proof: readonly Buffer[]): Generator<Buffer[]> {
  for (const [i, hash] of proof.entries()) {
    const flipped = Buffer.from(hash);
    flipped[i % 32] = (flipped[i % 32] ?? 0) ^ (1 << (i % 8));
    yield proof.with(i, flipped);
    yield proof.toSpliced(i, 1);
    yield proof.with(i, hash.subarray(1));
  }
  yield [...proof, Buffer.alloc(32)];
}

describe('inclusion proofs', () => {
  test('every leaf of every tree up to 70 leaves is proved, and by no spoiled proof', () => {
    for (let size = 1; size <= sizeMax; size++) {
      for (let index = 0; index < size; index++) {
        const claim = inclusion(index, size);
        expect(verifyInclusion(claim)).toBe(true);
        for (const proof of spoiled(claim.proof)) expect(verifyInclusion({ ...claim, proof })).toBe(false);
        expect(verifyInclusion({ ...claim, index: claim.index + 1n })).toBe(false);
        expect(verifyInclusion({ ...claim, leafHash: leafHash(Buffer.from('another')) })).toBe(false);
      }
    }
  });

  test('an index beyond the tree is refused, however large', () => {
    const claim = inclusion(0, 1);
    expect(verifyInclusion({ ...claim, index: 18446744073709551615n })).toBe(false);
    expect(() => inclusionRanges(5, 5)).toThrow(RangeError);
    expect(() => inclusionRanges(-1, 5)).toThrow(RangeError);
  });
});

describe('consistency proofs', () => {
  test('every pair of trees up to 70 leaves is proved, and by no spoiled proof', () => {
    for (let size = 1; size <= sizeMax; size++) {
      for (let oldSize = 1; oldSize <= size; oldSize++) {
        const claim = consistency(oldSize, size);
        expect(verifyConsistency(claim)).toBe(true);
        for (const proof of spoiled(claim.proof)) expect(verifyConsistency({ ...claim, proof })).toBe(false);
        expect(verifyConsistency({ ...claim, oldRoot: Buffer.alloc(32) })).toBe(false);
        expect(verifyConsistency({ ...claim, root: Buffer.alloc(32) })).toBe(false);
      }
    }
  });

  test('the empty tree proves nothing, and a bigger tree is never the beginning of a smaller one', () => {
    const empty = roots[0] ?? Buffer.alloc(0);
    expect(verifyConsistency({ oldSize: 0n, oldRoot: empty, size: 0n, root: empty, proof: [] })).toBe(false);
    expect(verifyConsistency({ ...consistency(3, 5), oldSize: 5n, size: 3n })).toBe(false);
    expect(() => consistencyRanges(0, 5)).toThrow(RangeError);
    expect(() => consistencyRanges(6, 5)).toThrow(RangeError);
  });
});

/** Claims whose hashes lead to the root although the claim is false. Each is refused for one rule alone. */
describe('a forged claim is refused', () => {
  const [left, right] = [leaves[0] ?? Buffer.alloc(0), leaves[1] ?? Buffer.alloc(0)];
  const both = nodeHash(left, right);

  test('when a byte has moved from one hash to its neighbour', () => {
    const [longer, shorter] = [Buffer.concat([left, right.subarray(0, 1)]), right.subarray(1)];
    expect(nodeHash(longer, shorter)).toEqual(both);
    expect(verifyInclusion({ index: 0n, size: 2n, leafHash: longer, root: both, proof: [shorter] })).toBe(false);
    expect(verifyConsistency({ oldSize: 1n, oldRoot: longer, size: 2n, root: both, proof: [shorter] })).toBe(false);
  });

  test('when it gives a leaf another place: before the first one', () => {
    const claim = { size: 2n, leafHash: left, root: both, proof: [right] };
    expect(verifyInclusion({ ...claim, index: 0n })).toBe(true);
    for (const index of [-1n, -2n]) expect(verifyInclusion({ ...claim, index })).toBe(false);
  });

  test('when the proof is longer than the tree is high', () => {
    expect(verifyInclusion({ index: 0n, size: 1n, leafHash: right, root: both, proof: [left] })).toBe(false);
    const { oldRoot, root, proof } = consistency(7, 8);
    expect(verifyConsistency({ oldSize: 7n, oldRoot, size: 8n, root, proof })).toBe(true);
    expect(verifyConsistency({ oldSize: 3n, oldRoot, size: 4n, root, proof })).toBe(false);
  });

  test('when the proof is shorter: an inner node is no leaf, and a part is not the whole', () => {
    expect(verifyInclusion({ index: 0n, size: 2n, leafHash: both, root: both, proof: [] })).toBe(false);
    expect(verifyConsistency({ oldSize: 1n, oldRoot: left, size: 4n, root: both, proof: [right] })).toBe(false);
    expect(verifyConsistency({ oldSize: 3n, oldRoot: left, size: 5n, root: both, proof: [] })).toBe(false);
  });

  test('when the bigger tree is called the older one', () => {
    expect(verifyConsistency({ oldSize: 3n, oldRoot: left, size: 2n, root: both, proof: [left, right] })).toBe(false);
  });
});

test('a proof of a log with 2^40 entries has 40 hashes and needs no more than 40 subtrees', () => {
  const ranges = inclusionRanges(2 ** 40 - 7, 2 ** 40);
  expect(ranges).toHaveLength(40);
  expect(ranges.flatMap(rangeNodes)).toHaveLength(40);
});
