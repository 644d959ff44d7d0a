import { frontierText } from '../log/retirement.js';
import { CompactRange, leafHash } from '@prime-nest/kit/tlog/tree';
import { judgeCopies } from './copies.js';
import type { EntryCopies } from './copies.js';

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
  /** The hash that the entry was appended with, if it was kept apart from the entry. */
  readonly appended?: Buffer | undefined;
}

/** A tree that somebody vouches for. */
export interface KnownTree {
  readonly size: number;
  readonly root: Buffer;
  /** Where the knowledge is from, for the report. */
  readonly name: string;
}

/** A subtree that is closed: one hash, or one for each reading of a log whose copies of hashes contradict each other. */
export interface ClosedNode {
  readonly height: number;
  readonly index: number;
  readonly hashes: readonly Buffer[];
}

/**
 * Follows a log from its first entry and compares it with every tree that is known: give entries in order, then ask
 * for the faults. All of them are named with the first entry concerned; after a gap that nothing fills, trees can no
 * longer be compared. Where the copies of a hash contradict each other the log is read by each of them, until a tree
 * says which reading is right.
 */
export class LogCheck {
  #trees: KnownTree[] = [];
  /** One reading, or those by the kept hash, by the hash at the append and by the bytes. */
  #readings: CompactRange[] = [CompactRange.empty()];
  #contradictions: EntryCopies[] = [];
  readonly #faults: Fault[] = [];
  #nextIndex = 0;
  #goodSize = 0;
  #isComparable = true;

  constructor(trees: readonly KnownTree[]) {
    this.expect(trees);
  }

  /** More trees to compare with, none of them smaller than what has been seen. */
  expect(trees: readonly KnownTree[]): void {
    this.#trees = [...this.#trees, ...trees].sort((a, b) => a.size - b.size);
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
  add({ index, bytes, leafHash: kept, appended }: CheckedEntry): ClosedNode[] {
    if (index > this.#nextIndex) this.missing(index);
    else if (index < this.#nextIndex) {
      const detail = `entry ${index} comes again after entry ${this.#nextIndex - 1}`;
      this.#faults.push({ kind: 'malformed', index, detail });
      this.#isComparable = false;
    }
    const leaf = leafHash(bytes);
    const copies = { index, leaf, kept: kept ?? leaf, appended: appended ?? kept ?? leaf };
    this.#nextIndex = index + 1;
    if (leaf.equals(copies.kept) && leaf.equals(copies.appended)) return this.#append([leaf]);
    this.#contradictions.push(copies);
    const [only, ...others] = this.#readings;
    if (only !== undefined && others.length === 0) this.#readings = [only, only.clone(), only.clone()];
    return this.#append([copies.kept, copies.appended, copies.leaf]);
  }

  /** Takes the hash of an entry that is not there any more. */
  addHash(leaf: Buffer): ClosedNode[] {
    this.#nextIndex++;
    return this.#append([leaf]);
  }

  /** The entries before `end` are not there. Unless their hashes follow, trees cannot be compared any more. */
  missing(end: number, areHashesKnown = false): void {
    const detail = `entries ${this.#nextIndex} to ${end - 1} are not there`;
    this.#faults.push({ kind: 'gap', index: this.#nextIndex, detail });
    this.#isComparable &&= areHashesKnown;
  }

  /**
   * Goes on after entries of which only the tree's right edge is known. Trees that end among them cannot be compared,
   * and that is a fault: whoever vouches for them has to see more.
   */
  resume(range: CompactRange): void {
    if (this.#nextIndex !== 0) {
      const isSame = (seen: CompactRange) => seen.size === range.size && seen.toBytes().equals(range.toBytes());
      this.#isComparable &&= this.#readings.some(isSame);
      if (!this.#isComparable)
        this.#faults.push({
          kind: 'altered',
          index: 0,
          detail: 'the archived entries are not those that were retired',
        });
      return;
    }
    this.#readings = [range];
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
    this.#judge(undefined);
    const beyond = this.#trees.find(({ size }) => size > this.#nextIndex);
    if (beyond === undefined) return this.#faults;
    const detail = `${beyond.name} covers ${beyond.size} entries and the log ends after ${this.#nextIndex}`;
    return [...this.#faults, { kind: 'missing', index: this.#nextIndex, detail }];
  }

  root(): Buffer {
    return this.#range().root();
  }

  /** The right edge of the tree so far, as manifests name it. */
  frontier(): string[] {
    return frontierText(this.#range());
  }

  #range(): CompactRange {
    const [range] = this.#readings;
    if (range === undefined) throw new RangeError('a log has a reading');
    return range;
  }

  /** One hash for every reading, or one for each. */
  #append(hashes: readonly Buffer[]): ClosedNode[] {
    const closed = this.#readings.flatMap((range, i) => {
      const hash = hashes[i] ?? hashes[0];
      return hash === undefined ? [] : [range.append(hash)];
    });
    this.#compare();
    if (!this.#isComparable) return [];
    const [nodes = []] = closed;
    return nodes.map(({ height, index }, i) => ({
      height,
      index,
      hashes: closed.flatMap((reading) => reading[i]?.hash ?? []),
    }));
  }

  #compare(): void {
    for (let tree = this.#trees[0]; tree?.size === this.#nextIndex && this.#isComparable; tree = this.#trees[0]) {
      this.#trees.shift();
      const { root, size, name } = tree;
      const right = this.#readings.findIndex((range) => range.root().equals(root));
      this.#judge(right === -1 ? undefined : right);
      if (right === -1) {
        const detail = `${name} has another root: something in the entries ${this.#goodSize} to ${size - 1} was changed`;
        this.#faults.push({ kind: 'fork', index: this.#goodSize, detail });
        // Every later tree would differ as well; the first one says where.
        this.#isComparable = false;
      } else this.#goodSize = size;
    }
  }

  /** Goes on with the reading that a tree has shown to be right, and says what the others were. */
  #judge(right: number | undefined): void {
    const reading = (['kept', 'appended', 'leaf'] as const)[right ?? -1];
    this.#faults.push(...judgeCopies(this.#contradictions, reading));
    this.#contradictions = [];
    const range = this.#readings[right ?? 0];
    if (range !== undefined) this.#readings = [range];
  }
}
