import { frontierText } from '../log/retirement.js';
import { CompactRange, leafHash } from '../log/tree.js';
import type { TreeNode } from '../log/tree.js';

/** What can be wrong with a log; each kind has its exit code in the verifier. */
export type FaultKind = 'signature' | 'altered' | 'fork' | 'gap' | 'missing' | 'malformed' | 'rollback';

export interface Fault {
  readonly kind: FaultKind;
  /** The first entry concerned. */
  readonly index?: number;
  /** A sentence for people; names sizes and fields, never contents. */
  readonly detail: string;
}

export interface CheckedEntry {
  readonly index: number;
  readonly bytes: Uint8Array;
  /** The hash that was kept beside the bytes, if one was. */
  readonly leafHash?: Buffer;
}

/** A tree that somebody vouches for. */
export interface KnownTree {
  readonly size: number;
  readonly root: Buffer;
  /** Where the knowledge is from, for the report. */
  readonly name: string;
}

/**
 * Follows a log from its first entry and compares it with every tree that is known: give entries in order, then ask
 * for the faults. All of them are named with the first entry concerned; after a gap, trees can no longer be compared.
 */
export class LogCheck {
  readonly #trees: KnownTree[];
  #range = CompactRange.empty();
  readonly #faults: Fault[] = [];
  #nextIndex = 0;
  #goodSize = 0;
  #isComparable = true;

  constructor(trees: readonly KnownTree[]) {
    this.#trees = [...trees].sort((a, b) => a.size - b.size);
    this.#compare();
  }

  /** How many entries have been seen. */
  get size(): number {
    return this.#nextIndex;
  }

  /** Whether trees can be compared: no entry was missing or out of place so far, and no tree differed. */
  get isComparable(): boolean {
    return this.#isComparable;
  }

  /** Takes the next entry. Answers the subtrees that it closes, for a comparison with stored ones. */
  add({ index, bytes, leafHash: kept }: CheckedEntry): TreeNode[] {
    if (index !== this.#nextIndex) {
      const isBehind = index < this.#nextIndex;
      const detail = isBehind
        ? `entry ${index} comes again after entry ${this.#nextIndex - 1}`
        : `entries ${this.#nextIndex} to ${index - 1} are not there`;
      this.#faults.push({ kind: isBehind ? 'malformed' : 'gap', index: isBehind ? index : this.#nextIndex, detail });
      this.#isComparable = false;
    }
    const leaf = leafHash(bytes);
    if (kept !== undefined && !leaf.equals(kept)) {
      this.#faults.push({ kind: 'altered', index, detail: `entry ${index} is not what was hashed` });
      // The kept hash is what the trees were made of: with it, the rest of the log can still be judged.
    }
    const closed = this.#range.append(kept ?? leaf);
    this.#nextIndex = index + 1;
    this.#compare();
    return this.#isComparable ? closed : [];
  }

  /** Takes the hash of an entry that is not there any more. */
  addHash(leaf: Buffer): TreeNode[] {
    const closed = this.#range.append(leaf);
    this.#nextIndex++;
    this.#compare();
    return this.#isComparable ? closed : [];
  }

  /**
   * Goes on after entries of which only the tree's right edge is known. Trees that end among them cannot be compared,
   * and that is a fault: whoever vouches for them has to see more.
   */
  resume(range: CompactRange): void {
    if (this.#nextIndex !== 0) {
      this.#isComparable &&= this.#range.size === range.size && this.#range.toBytes().equals(range.toBytes());
      if (!this.#isComparable)
        this.#faults.push({
          kind: 'altered',
          index: 0,
          detail: 'the archived entries are not those that were retired',
        });
      return;
    }
    this.#range = range;
    this.#nextIndex = range.size;
    for (let tree = this.#trees[0]; tree !== undefined && tree.size < range.size; tree = this.#trees[0]) {
      this.#trees.shift();
      const detail = `${tree.name} covers ${tree.size} entries, which are retired: their archive or the live log shows whether it holds`;
      this.#faults.push({ kind: 'missing', index: 0, detail });
    }
    this.#compare();
  }

  report(fault: Fault): void {
    this.#faults.push(fault);
  }

  /** Everything that is wrong, after the last entry. */
  finish(): readonly Fault[] {
    for (const { size, name } of this.#trees) {
      if (size > this.#nextIndex) {
        const detail = `${name} covers ${size} entries and the log ends after ${this.#nextIndex}`;
        return [...this.#faults, { kind: 'missing', index: this.#nextIndex, detail }];
      }
    }
    return this.#faults;
  }

  root(): Buffer {
    return this.#range.root();
  }

  /** The right edge of the tree so far, as manifests name it. */
  frontier(): string[] {
    return frontierText(this.#range);
  }

  #compare(): void {
    for (let tree = this.#trees[0]; tree?.size === this.#range.size && this.#isComparable; tree = this.#trees[0]) {
      this.#trees.shift();
      if (tree.root.equals(this.#range.root())) this.#goodSize = tree.size;
      else {
        const detail = `${tree.name} has another root: something in the entries ${this.#goodSize} to ${tree.size - 1} was changed`;
        this.#faults.push({ kind: 'fork', index: this.#goodSize, detail });
        // Every later tree would differ as well; the first one says where.
        this.#isComparable = false;
      }
    }
  }
}
