import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  consistencyRanges,
  inclusionRanges,
  rangeNodes,
  rangeRoot,
  verifyConsistency,
  verifyInclusion,
} from './proof.js';
import type { LeafRange } from './proof.js';
import { CompactRange, emptyRoot, foldSubtrees, hashBytes, leafHash, nodeHash } from './tree.js';

const leaves = Array.from({ length: 300 }, (_, index) => leafHash(Buffer.from(`entry ${String(index)}`)));

/** The definition of RFC 6962 §2.1, as recursive as it stands there. */
function rootOf(hashes: readonly Buffer[]): Buffer {
  if (hashes.length === 0) return emptyRoot;
  const [only] = hashes;
  if (hashes.length === 1 && only !== undefined) return only;
  let k = 1;
  while (k * 2 < hashes.length) k *= 2;
  return nodeHash(rootOf(hashes.slice(0, k)), rootOf(hashes.slice(k)));
}
const hashesOf = (ranges: readonly LeafRange[]) =>
  ranges.map((range) =>
    rangeRoot(
      rangeNodes(range).map(({ height, index }) =>
        rootOf(leaves.slice(index * 2 ** height, (index + 1) * 2 ** height)),
      ),
    ),
  );
const size = fc.integer({ min: 1, max: leaves.length });
const included = size.chain((of) => fc.tuple(fc.nat(of - 1), fc.constant(of)));
const pair = size.chain((of) => fc.tuple(fc.integer({ min: 1, max: of }), fc.constant(of)));

function inclusion(index: number, of: number) {
  return {
    index: BigInt(index),
    size: BigInt(of),
    leafHash: leaves[index] ?? emptyRoot,
    root: rootOf(leaves.slice(0, of)),
    proof: hashesOf(inclusionRanges(index, of)),
  };
}
function consistency(oldSize: number, of: number) {
  return {
    oldSize: BigInt(oldSize),
    size: BigInt(of),
    oldRoot: rootOf(leaves.slice(0, oldSize)),
    root: rootOf(leaves.slice(0, of)),
    proof: hashesOf(consistencyRanges(oldSize, of)),
  };
}
const flipped = (hash: Buffer, bit: number) => {
  const copy = Buffer.from(hash);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
};

describe('the tree', () => {
  test('has the root of RFC 6962 at every size, also when it was written away and read again at any point', () => {
    fc.assert(
      fc.property(pair, ([pause, of]) => {
        let range = CompactRange.empty();
        for (let index = 0; index < of; index++) {
          if (index === pause) range = CompactRange.fromBytes(range.size, range.toBytes());
          range.append(leaves[index] ?? emptyRoot);
        }
        expect(range.size).toBe(of);
        expect(range.root()).toEqual(rootOf(leaves.slice(0, of)));
      }),
      { numRuns: 40 },
    );
    expect(CompactRange.empty().root()).toEqual(emptyRoot);
  });

  test('names every complete subtree once, when its last leaf comes, with its own root', () => {
    const range = CompactRange.empty();
    const seen = new Set<string>();
    for (const [index, leaf] of leaves.entries()) {
      for (const node of range.append(leaf)) {
        const width = 2 ** node.height;
        expect((node.index + 1) * width).toBe(index + 1);
        expect(node.hash).toEqual(rootOf(leaves.slice(node.index * width, (node.index + 1) * width)));
        expect(seen.has(`${String(node.height)}/${String(node.index)}`)).toBe(false);
        seen.add(`${String(node.height)}/${String(node.index)}`);
      }
    }
    // 300 leaves, 150 pairs, 75, 37, …
    expect(seen.size).toBe([1, 2, 4, 8, 16, 32, 64, 128, 256].reduce((sum, width) => sum + Math.floor(300 / width), 0));
  });

  test('is not read from bytes that belong to another size', () => {
    fc.assert(
      fc.property(fc.integer({ min: -3, max: 70 }), fc.nat(6 * hashBytes), (of, length) => {
        const ones = of < 0 ? -1 : of.toString(2).replaceAll('0', '').length;
        const read = () => CompactRange.fromBytes(of, Buffer.alloc(length));
        if (ones * hashBytes === length) expect(read().size).toBe(of);
        else expect(read).toThrow(RangeError);
      }),
    );
    expect(() => CompactRange.fromBytes(0.5, Buffer.alloc(hashBytes))).toThrow(RangeError);
    expect(() => CompactRange.fromBytes(Number.MAX_SAFE_INTEGER + 1, Buffer.alloc(hashBytes))).toThrow(RangeError);
    expect(foldSubtrees([])).toBeUndefined();
  });
});

describe('a proof of inclusion', () => {
  test('holds for every entry of every tree, and for nothing that differs in any bit', () => {
    fc.assert(
      fc.property(included, fc.nat(255), fc.nat(20), ([index, of], bit, which) => {
        const claim = inclusion(index, of);
        expect(verifyInclusion(claim)).toBe(true);
        expect(verifyInclusion({ ...claim, leafHash: flipped(claim.leafHash, bit) })).toBe(false);
        expect(verifyInclusion({ ...claim, root: flipped(claim.root, bit) })).toBe(false);
        const at = claim.proof.length === 0 ? 0 : which % claim.proof.length;
        const changed = claim.proof.map((hash, i) => (i === at ? flipped(hash, bit) : hash));
        if (changed.length > 0) expect(verifyInclusion({ ...claim, proof: changed })).toBe(false);
        expect(verifyInclusion({ ...claim, proof: claim.proof.slice(1) })).toBe(claim.proof.length === 0);
        expect(verifyInclusion({ ...claim, proof: [...claim.proof, claim.root] })).toBe(false);
        expect(verifyInclusion({ ...claim, proof: [...claim.proof.slice(0, -1), Buffer.alloc(31)] })).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  test('of one place proves no other place', () => {
    fc.assert(
      fc.property(included, fc.integer({ min: -2, max: 310 }), ([index, of], other) => {
        const claim = inclusion(index, of);
        if (other !== index) expect(verifyInclusion({ ...claim, index: BigInt(other) })).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  test('is not made for what is not in the tree', () => {
    for (const [index, of] of [
      [5, 5],
      [6, 5],
      [-1, 5],
      [0, 0],
      [0.5, 5],
      [0, 5.5],
      [0, -1],
    ]) {
      expect(() => inclusionRanges(index ?? 0, of ?? 0)).toThrow(RangeError);
    }
    expect(inclusionRanges(0, 1)).toEqual([]);
    expect(() => rangeRoot([])).toThrow(RangeError);
  });
});

describe('a proof of consistency', () => {
  test('holds for every pair of trees, and for nothing that differs in any bit', () => {
    fc.assert(
      fc.property(pair, fc.nat(255), fc.nat(20), ([oldSize, of], bit, which) => {
        const claim = consistency(oldSize, of);
        expect(verifyConsistency(claim)).toBe(true);
        expect(verifyConsistency({ ...claim, oldRoot: flipped(claim.oldRoot, bit) })).toBe(false);
        expect(verifyConsistency({ ...claim, root: flipped(claim.root, bit) })).toBe(false);
        const at = claim.proof.length === 0 ? 0 : which % claim.proof.length;
        const changed = claim.proof.map((hash, i) => (i === at ? flipped(hash, bit) : hash));
        if (changed.length > 0) expect(verifyConsistency({ ...claim, proof: changed })).toBe(false);
        if (claim.proof.length > 0) {
          expect(verifyConsistency({ ...claim, proof: claim.proof.slice(1) })).toBe(false);
          expect(verifyConsistency({ ...claim, proof: claim.proof.slice(0, -1) })).toBe(false);
          expect(verifyConsistency({ ...claim, proof: [] })).toBe(false);
        }
        expect(verifyConsistency({ ...claim, proof: [...claim.proof, claim.root] })).toBe(false);
        expect(verifyConsistency({ ...claim, proof: [...claim.proof.slice(0, -1), Buffer.alloc(31)] })).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  test('does not hold between a tree and one with another past, and never for the empty tree', () => {
    fc.assert(
      fc.property(pair, fc.nat(255), ([oldSize, of], bit) => {
        const forged = leaves.map((leaf, index) => (index === oldSize - 1 ? flipped(leaf, bit) : leaf));
        expect(verifyConsistency({ ...consistency(oldSize, of), oldRoot: rootOf(forged.slice(0, oldSize)) })).toBe(
          false,
        );
        expect(verifyConsistency({ ...consistency(oldSize, of), oldSize: 0n, oldRoot: emptyRoot })).toBe(false);
        expect(verifyConsistency({ ...consistency(oldSize, of), oldSize: BigInt(of + 1) })).toBe(false);
      }),
      { numRuns: 60 },
    );
    for (const [oldSize, of] of [
      [0, 5],
      [6, 5],
      [-1, 5],
      [1.5, 5],
      [1, 5.5],
    ]) {
      expect(() => consistencyRanges(oldSize ?? 0, of ?? 0)).toThrow(RangeError);
    }
    expect(consistencyRanges(5, 5)).toEqual([]);
  });

  test('between equal trees is nothing, and needs roots that are equal and hashes', () => {
    const claim = consistency(7, 7);
    expect(verifyConsistency(claim)).toBe(true);
    expect(verifyConsistency({ ...claim, proof: [emptyRoot] })).toBe(false);
    expect(verifyConsistency({ ...claim, root: emptyRoot })).toBe(false);
    expect(verifyConsistency({ ...consistency(3, 7), oldRoot: Buffer.alloc(31) })).toBe(false);
    expect(verifyConsistency({ ...consistency(4, 7), oldRoot: Buffer.alloc(31) })).toBe(false);
    expect(verifyConsistency({ ...consistency(3, 7), root: Buffer.alloc(33) })).toBe(false);
  });
});

test('a range is made of complete subtrees, the biggest first, without a gap', () => {
  fc.assert(
    fc.property(included, ([index, of]) => {
      for (const range of inclusionRanges(index, of)) {
        let at = range.from;
        let last = Infinity;
        for (const { height, index: place } of rangeNodes(range)) {
          expect(place * 2 ** height).toBe(at);
          expect(height).toBeLessThan(last);
          last = height;
          at += 2 ** height;
        }
        expect(at).toBe(range.to);
      }
    }),
  );
});
