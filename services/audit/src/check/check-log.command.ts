import { AuditEvent } from '@prime-nest/contracts/events';
import type { Queryable } from '@prime-nest/kit/database';
import { isSignedBy, parseCheckpoint } from '../log/checkpoint.js';
import type { VerifierKey } from '../log/checkpoint.js';
import { indexColumns } from '../log/columns.js';
import { LogCheck } from './log-check.js';
import type { Fault, KnownTree } from './log-check.js';
import { RetirementCheck } from './retirement-check.js';
import { readManifest } from '../log/retirement.js';
import type { TreeNode } from '../log/tree.js';
import { SourceCheck } from './source-check.js';
import type { StoredLogStore, StoredLogRow } from './stored-log.store.js';

export interface CheckLogOptions {
  /** Trees known from outside the database: checkpoints that somebody kept. */
  readonly kept?: readonly KnownTree[];
  /** Keys of which one must have signed each stored checkpoint; without any, signatures are not checked. */
  readonly keys?: readonly VerifierKey[];
  /** Called after each chunk, to report progress or to let others go first. */
  readonly onProgress?: (entries: number) => Promise<void> | void;
  readonly signal?: AbortSignal;
}

export interface CheckLogResult {
  readonly entries: number;
  readonly faults: readonly Fault[];
  /** What else is to be told, to be put after the number of entries; may be empty. */
  readonly summary: string;
}

interface Checks {
  readonly check: LogCheck;
  readonly sources: SourceCheck;
  readonly retirement: RetirementCheck;
}

const levelHeight = 8;

/**
 * Reads the whole stored log and recomputes everything that it says of itself: hashes from bytes, subtree roots, the
 * columns that searches go by, the tree's state, every checkpoint, and those that somebody kept elsewhere. It changes
 * nothing and needs no lock: entries that arrive meanwhile are left for the next time.
 */
export class CheckLogCommand {
  readonly #database: Queryable;
  readonly #log: StoredLogStore;

  constructor({ database, log }: { database: Queryable; log: StoredLogStore }) {
    this.#database = database;
    this.#log = log;
  }

  async run({ kept = [], keys = [], onProgress, signal }: CheckLogOptions = {}): Promise<CheckLogResult> {
    const database = this.#database;
    // In this order: what is signed by then is in the tree, however fast the log grows.
    const signed = await this.#log.checkpoints(database);
    const state = await this.#log.state(database);
    const unsigned = signed.filter(({ note, size, root }) => !isWhatItSays(note, { size, root, keys }));
    const trees = signed.map(({ size, root }) => ({ size, root, name: `the stored checkpoint of ${size}` }));
    const check = new LogCheck([
      ...kept,
      ...trees,
      { size: state.treeSize, root: state.root, name: "the tree's state" },
    ]);
    const sources = new SourceCheck();
    const retirement = new RetirementCheck();
    for (const { size } of unsigned)
      check.report({ kind: 'signature', detail: `the stored checkpoint of ${size} is not what was signed` });
    await this.#passRetired({ check, sources, retirement });
    while (check.size < state.treeSize && signal?.aborted !== true) {
      const from = check.size;
      const rows = await this.#log.entries(database, from, state.treeSize);
      if (rows.length === 0) break;
      await this.#checkChunk(check, rows);
      for (const { index, bytes } of rows) {
        retirement.add(index, bytes);
        if (check.isComparable) sources.add(index, bytes);
      }
      await onProgress?.(check.size);
    }
    if (signal?.aborted === true) return { entries: check.size, faults: [], summary: '' };
    const beyond = await this.#log.countFrom(database, state.treeSize);
    if (beyond > 0 && (await this.#log.state(database)).treeSize === state.treeSize) {
      check.report({ kind: 'fork', index: state.treeSize, detail: `${beyond} entries lie beyond the tree` });
    }
    const faults = [...check.finish(), ...retirement.finish(), ...sources.finish()];
    return { entries: check.size, faults, summary: retirement.summary() };
  }

  /** Entries that are retired have left their hashes: the tree and the checkpoints can be judged by these. */
  async #passRetired({ check, sources, retirement }: Checks): Promise<void> {
    const retired = await this.#log.retirement(this.#database);
    if (retired === undefined) return;
    while (check.size < retired.to) {
      const hashes = await this.#log.retiredHashes(this.#database, check.size);
      if (hashes.length === 0) return;
      await this.#checkNodes(
        check,
        hashes.flatMap((hash) => check.addHash(hash)),
      );
    }
    const manifest = retired.bytes === undefined ? undefined : readManifest(retired.bytes);
    const records = manifest?.records ?? { size: retired.to, sources: [] };
    sources.resume({ to: retired.to, records });
    retirement.claim({ to: retired.to, manifest: retired.manifest, frontier: check.frontier(), records });
  }

  async #checkChunk(check: LogCheck, rows: readonly StoredLogRow[]): Promise<void> {
    const closed = rows.flatMap((row) => {
      for (const detail of columnFaults(row)) check.report({ kind: 'altered', index: row.index, detail });
      return check.add(row);
    });
    await this.#checkNodes(check, closed);
  }

  async #checkNodes(check: LogCheck, closed: readonly TreeNode[]): Promise<void> {
    const nodes = closed.filter(({ height }) => height > 0 && height % levelHeight === 0);
    const stored = await this.#log.nodes(
      this.#database,
      nodes.map(({ height, index }) => ({ level: height / levelHeight, index })),
    );
    nodes.forEach(({ height, index, hash }, i) => {
      if (stored[i]?.equals(hash) === true) return;
      const from = index * 2 ** height;
      check.report({
        kind: 'altered',
        index: from,
        detail: `the stored root of the entries ${from} to ${from + 2 ** height - 1} is not theirs`,
      });
    });
  }
}

/** Columns that say something else than the entry: a search by them would not find it, or find it under another name. */
function columnFaults({ index, bytes, columns }: StoredLogRow): string[] {
  try {
    const expected = Object.entries(indexColumns(AuditEvent.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))));
    return expected
      .filter(([name, value]) => columns[name as keyof typeof columns] !== value)
      .map(([name]) => `the column ${name} of entry ${index} is not what the entry says`);
  } catch {
    return [`entry ${index} is not an event`];
  }
}

function isWhatItSays(
  note: string,
  { size, root, keys }: { size: number; root: Buffer; keys: readonly VerifierKey[] },
): boolean {
  try {
    const parsed = parseCheckpoint(note);
    const isSame = parsed.size === BigInt(size) && parsed.root.equals(root);
    return isSame && (keys.length === 0 || keys.some((key) => isSignedBy(parsed, key)));
  } catch {
    return false;
  }
}
