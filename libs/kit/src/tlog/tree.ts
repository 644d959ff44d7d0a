import { hash } from 'node:crypto';

/** Bytes of every hash of the tree. */
export const hashBytes = 32;

const leafPrefix = Buffer.of(0x00);
const nodePrefix = Buffer.of(0x01);

/** Hashes in a tile (C2SP tlog-tiles). */
export const tileWidth = 256;

/** Root of the tree without entries: SHA-256 of nothing (RFC 6962 §2.1). */
export const emptyRoot: Buffer = hash('sha256', '', 'buffer');

/** Hash of one entry: SHA-256(0x00 ‖ entry) (RFC 6962 §2.1). */
export function leafHash(entry: Uint8Array): Buffer {
  return hash('sha256', Buffer.concat([leafPrefix, entry]), 'buffer');
}

/** Hash of an inner node: SHA-256(0x01 ‖ left ‖ right) (RFC 6962 §2.1). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return hash('sha256', Buffer.concat([nodePrefix, left, right]), 'buffer');
}

/** A complete subtree that an append has closed: `height` 0 is a leaf, `index` counts subtrees of that height. */
export interface TreeNode {
  readonly height: number;
  readonly index: number;
  readonly hash: Buffer;
}

/**
 * The right edge of an append-only tree: the roots of its complete subtrees, the biggest first. It is all that
 * appending and the root need, at most 53 hashes for any size a number can hold exactly.
 */
export class CompactRange {
  #size: number;
  readonly #hashes: Buffer[];

  private constructor(size: number, hashes: Buffer[]) {
    this.#size = size;
    this.#hashes = hashes;
  }

  static empty(): CompactRange {
    return new CompactRange(0, []);
  }

  /** Reads what {@link toBytes} wrote for a tree of `size`. Throws a RangeError when the two do not belong together. */
  static fromBytes(size: number, bytes: Uint8Array): CompactRange {
    if (!Number.isSafeInteger(size) || size < 0) throw new RangeError('the tree size is not a whole number');
    if (bytes.length !== oneBits(size) * hashBytes)
      throw new RangeError('the frontier does not belong to this tree size');
    const hashes = Array.from({ length: bytes.length / hashBytes }, (_, i) =>
      Buffer.from(bytes.subarray(i * hashBytes, (i + 1) * hashBytes)),
    );
    return new CompactRange(size, hashes);
  }

  get size(): number {
    return this.#size;
  }

  /** Adds a leaf. Answers every subtree that it closed, the leaf itself first. */
  append(leaf: Buffer): TreeNode[] {
    const closed: TreeNode[] = [{ height: 0, index: this.#size, hash: leaf }];
    this.#size++;
    let node = leaf;
    let count = this.#size;
    for (let height = 1; count % 2 === 0; height++) {
      const left = this.#hashes.pop();
      if (left === undefined) throw new RangeError('the frontier is shorter than its tree size');
      node = nodeHash(left, node);
      count /= 2;
      closed.push({ height, index: count - 1, hash: node });
    }
    this.#hashes.push(node);
    return closed;
  }

  /** Root of the tree (RFC 6962 §2.1, MTH). */
  root(): Buffer {
    return foldSubtrees(this.#hashes) ?? emptyRoot;
  }

  toBytes(): Buffer {
    return Buffer.concat(this.#hashes);
  }

  clone(): CompactRange {
    return new CompactRange(this.#size, [...this.#hashes]);
  }
}

/** Root over neighbouring complete subtrees, the biggest first; undefined for none. */
export function foldSubtrees(hashes: readonly Buffer[]): Buffer | undefined {
  return hashes.reduceRight<Buffer | undefined>(
    (right, left) => (right === undefined ? left : nodeHash(left, right)),
    undefined,
  );
}

function oneBits(size: number): number {
  let count = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2;
  return count;
}
