import { nodeHash } from '@prime-nest/kit/tlog/tree';
import type { Fault } from './log-check.js';

/** An entry whose bytes and the copies of their hash do not agree. */
export interface EntryCopies {
  readonly index: number;
  /** Of the bytes that are there now. */
  readonly leaf: Buffer;
  /** Beside the bytes. */
  readonly kept: Buffer;
  /** Apart from the entry, where it was put when the entry was appended. */
  readonly appended: Buffer;
}

/** What was changed of each entry, when a tree has shown which copy is right; otherwise that something was. */
export function judgeCopies(
  entries: readonly EntryCopies[],
  right: 'leaf' | 'kept' | 'appended' | undefined,
): readonly Fault[] {
  return entries.flatMap((entry): Fault[] => {
    const { index } = entry;
    if (right === undefined) {
      const detail = entry.leaf.equals(entry.kept)
        ? `entry ${index} and its hash are not those that were appended`
        : `entry ${index} is not what was hashed`;
      return [{ kind: 'altered', index, detail }];
    }
    const truth = entry[right];
    if (!entry.leaf.equals(truth)) {
      const owner = entries.find((other) => other.index !== index && other[right].equals(entry.leaf));
      const whose = owner === undefined ? '' : `: it is the one that belongs at ${owner.index}`;
      return [{ kind: 'altered', index, detail: `entry ${index} is not what was hashed${whose}` }];
    }
    const isKept = entry.kept.equals(truth);
    const where = isKept ? 'kept apart from' : 'beside';
    return [{ kind: 'altered', index, detail: `the hash ${where} entry ${index} is not its hash` }];
  });
}

/**
 * The two leaves of a complete subtree that were exchanged, when exchanging them back leads to its root: what names
 * them when every copy of their hashes was exchanged, too. Undefined when no two do.
 */
export function exchangedLeaves(leaves: readonly Buffer[], root: Buffer): readonly [number, number] | undefined {
  const levels = [leaves];
  for (let level = leaves; level.length > 1; level = levels.at(-1) ?? [])
    levels.push(level.flatMap((left, i) => (i % 2 === 0 ? [nodeHash(left, level[i + 1] ?? left)] : [])));
  for (let a = 0; a < leaves.length; a++) {
    for (let b = a + 1; b < leaves.length; b++) {
      if (exchangedRoot(levels, a, b)?.equals(root) === true) return [a, b];
    }
  }
  return undefined;
}

/** Root with two leaves exchanged: only the hashes on their two ways up are new. */
function exchangedRoot(levels: readonly (readonly Buffer[])[], a: number, b: number): Buffer | undefined {
  const [leaves = []] = levels;
  const [left, right] = [leaves[a], leaves[b]];
  if (left === undefined || right === undefined) return undefined;
  let changed = new Map([
    [a, right],
    [b, left],
  ]);
  for (const level of levels.slice(0, -1)) {
    const next = new Map<number, Buffer>();
    for (const at of changed.keys()) {
      const first = at - (at % 2);
      const [one, other] = [first, first + 1].map((i) => changed.get(i) ?? level[i]);
      if (one !== undefined && other !== undefined) next.set(first / 2, nodeHash(one, other));
    }
    changed = next;
  }
  return changed.get(0);
}
