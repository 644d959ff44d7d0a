import { AuditEvent } from '@prime-nest/contracts/events';
import type { Queryable } from '@prime-nest/kit/database';
import { isSignedBy, parseCheckpoint } from '@prime-nest/kit/tlog/checkpoint';
import type { VerifierKey } from '@prime-nest/kit/tlog/checkpoint';
import { indexColumns } from '../log/columns.js';
import { exchangedLeaves } from './copies.js';
import { LogCheck } from './log-check.js';
import type { ClosedNode, Fault, KnownTree } from './log-check.js';
import { RetirementCheck } from './retirement-check.js';
import { readManifest } from '../log/retirement.js';
import { leafHash } from '@prime-nest/kit/tlog/tree';
import { numberingFaults, passedFaults } from './numbering-check.js';
import { quarantineFault } from './quarantine-check.js';
import { SourceCheck, quarantineType } from './source-check.js';
import type { JudgedRecord } from './source-check.js';
import type { StoredLogRow, StoredLogStore, StoredState, StoredTree } from './stored-log.store.js';

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
  readonly keys: readonly VerifierKey[];
}

const levelHeight = 8;
const stepMax = 2_000;
/** Looking for two entries that were exchanged together with all that is known of them takes a second. */
const searchesMax = 5;

/**
 * Reads the whole stored log and recomputes everything that it says of itself: hashes from bytes and their copies,
 * subtree roots, the columns that searches go by, the numbers of sources, quarantine, the tree's state, every checkpoint,
 * and those that somebody kept elsewhere. It changes nothing and needs no lock: entries that arrive meanwhile are left for
 * the next time. What it holds in memory does not grow with the log.
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
    const newestSigned = (await this.#log.newestSigned(database)) ?? 0;
    const state = await this.#log.state(database);
    const check = new LogCheck(kept);
    const [sources, retirement] = [new SourceCheck(), new RetirementCheck()];
    const checks = { check, sources, retirement, keys };
    await this.#expectSigned(checks, { from: -1, to: 0 });
    await this.#passRetired(checks);
    while (check.size < state.treeSize && signal?.aborted !== true) {
      const rows = await this.#log.entries(database, check.size, state.treeSize);
      if (rows.length === 0) break;
      for (const run of neighbours(rows)) {
        await this.#passMissing(checks, run[0]?.index ?? 0);
        await this.#checkRun(checks, run);
      }
      await onProgress?.(check.size);
    }
    if (signal?.aborted === true) return { entries: check.size, faults: [], summary: '' };
    await this.#judgeSignedBeyond(checks, newestSigned);
    check.expect([{ size: state.treeSize, root: state.root, name: "the tree's state" }]);
    const beyond = await this.#log.countFrom(database, state.treeSize);
    if (beyond > 0 && (await this.#log.state(database)).treeSize === state.treeSize) {
      check.report({ kind: 'fork', index: state.treeSize, detail: `${beyond} entries lie beyond the tree` });
    }
    const found = [...check.finish(), ...retirement.finish()];
    const named = new Set(found.map(({ index }) => index));
    const numbers = [...sources.finish(), ...numberingOf(checks, state)];
    // Whose entry is not what it was has been named already.
    const faults = [
      ...found,
      ...numbers.filter(({ kind, index }) => kind !== 'altered' || index === undefined || !named.has(index)),
    ];
    return { entries: check.size, faults, summary: retirement.summary() };
  }

  /** Entries that are retired have left their hashes: the tree and the checkpoints can be judged by these. */
  async #passRetired(checks: Checks): Promise<void> {
    const { check, sources, retirement } = checks;
    const retired = await this.#log.retirement(this.#database);
    if (retired === undefined) return;
    while (check.size < retired.to) {
      const hashes = await this.#log.retiredHashes(this.#database, check.size);
      if (hashes.length === 0) return;
      await this.#passHashes(checks, hashes);
    }
    const manifest = retired.bytes === undefined ? undefined : readManifest(retired.bytes);
    const records = manifest?.records ?? { size: retired.to, sources: [] };
    sources.resume({ to: retired.to, records });
    retirement.claim({ to: retired.to, manifest: retired.manifest, frontier: check.frontier(), records });
  }

  /** Entries that are not there, up to `end`: with the hashes they were appended with the rest can still be judged. */
  async #passMissing(checks: Checks, end: number): Promise<void> {
    const { check } = checks;
    for (let isReported = false; check.size < end && (check.isComparable || !isReported); isReported = true) {
      const to = Math.min(end, check.size + stepMax);
      const found = await this.#log.appendedHashes(this.#database, check.size, to);
      const areKnown = found.size === to - check.size;
      if (!isReported || !areKnown) check.missing(isReported ? to : end, areKnown);
      if (!areKnown) return;
      await this.#passHashes(checks, [...found.values()]);
    }
  }

  async #passHashes(checks: Checks, hashes: readonly Buffer[]): Promise<void> {
    const { check } = checks;
    await this.#expectSigned(checks, { from: check.size, to: check.size + hashes.length });
    await this.#checkNodes(
      check,
      hashes.flatMap((hash) => check.addHash(hash)),
    );
  }

  async #checkRun(checks: Checks, rows: readonly StoredLogRow[]): Promise<void> {
    const { check, sources, retirement } = checks;
    const [from, to] = [check.size, (rows.at(-1)?.index ?? -1) + 1];
    await this.#expectSigned(checks, { from, to });
    const appended = await this.#log.appendedHashes(this.#database, from, to);
    const without = rows.find(({ index }) => !appended.has(index));
    if (without !== undefined) {
      const detail = `the hash that entry ${without.index} was appended with is not kept any more`;
      check.report({ kind: 'altered', index: without.index, detail });
    }
    const closed: ClosedNode[] = [];
    const records: JudgedRecord[] = [];
    for (const row of rows) {
      for (const detail of columnFaults(row)) check.report({ kind: 'altered', index: row.index, detail });
      closed.push(...check.add({ ...row, appended: appended.get(row.index) }));
      retirement.add(row.index, row.bytes);
      const record = check.isComparable ? sources.add(row.index, row.bytes, row.place) : undefined;
      if (record !== undefined) records.push(record);
    }
    await this.#checkNodes(check, closed);
    for (const record of records) {
      const stored = await this.#log.passedNumbers(this.#database, record.accounts);
      passedFaults(record, stored).forEach((fault) => check.report(fault));
    }
    await this.#checkQuarantine(check, rows);
  }

  async #checkQuarantine(check: LogCheck, rows: readonly StoredLogRow[]): Promise<void> {
    const said = rows.filter(({ columns }) => columns.type === quarantineType);
    if (said.length === 0) return;
    const indexes = said.map(({ index }) => index);
    const stored = await this.#log.quarantined(this.#database, indexes);
    for (const { index, bytes } of said) {
      const detail = quarantineFault(bytes, stored.get(index));
      if (detail !== undefined) check.report({ kind: 'altered', index, detail: `${detail} of entry ${index}` });
    }
  }

  async #checkNodes(check: LogCheck, closed: readonly ClosedNode[]): Promise<void> {
    const nodes = closed.filter(({ height }) => height > 0 && height % levelHeight === 0);
    const stored = await this.#log.nodes(
      this.#database,
      nodes.map(({ height, index }) => ({ level: height / levelHeight, index })),
    );
    let searches = 0;
    for (const [i, { height, index, hashes }] of nodes.entries()) {
      const root = stored[i];
      if (root !== undefined && hashes.some((hash) => hash.equals(root))) continue;
      const from = index * 2 ** height;
      const detail = `the stored root of the entries ${from} to ${from + 2 ** height - 1} is not theirs`;
      check.report({ kind: 'altered', index: from, detail });
      if (root !== undefined && height === levelHeight && ++searches <= searchesMax)
        await this.#reportExchanged(check, from, root);
    }
  }

  async #reportExchanged(check: LogCheck, from: number, root: Buffer): Promise<void> {
    const rows = await this.#log.entries(this.#database, from, from + 2 ** levelHeight);
    const exchanged = exchangedLeaves(
      rows.map(({ bytes }) => leafHash(bytes)),
      root,
    );
    if (exchanged === undefined) return;
    const [one, other] = [from + exchanged[0], from + exchanged[1]];
    check.report({
      kind: 'altered',
      index: one,
      detail: `entry ${one} and entry ${other} stand in each other's place`,
    });
  }

  /** Has the check compare with what was signed of more than `from` and at most `to` entries, which it has yet to see. */
  async #expectSigned({ check, keys }: Checks, { from, to }: { from: number; to: number }): Promise<void> {
    const signed = await this.#log.checkpoints(this.#database, { from, to }, to - from);
    for (const tree of signed) reportUnlessSigned(check, tree, keys);
    check.expect(signed.map(known));
  }

  /** Checkpoints of more entries than there are: of these, one is enough to show that something is missing. */
  async #judgeSignedBeyond({ check, keys }: Checks, newest: number): Promise<void> {
    for (let from = check.size; from < newest;) {
      const signed = await this.#log.checkpoints(this.#database, { from, to: newest });
      for (const tree of signed) reportUnlessSigned(check, tree, keys);
      if (from === check.size) check.expect(signed.slice(0, 1).map(known));
      from = signed.at(-1)?.size ?? newest;
    }
  }
}

/** Rows split where entries between them are not there. */
function neighbours(rows: readonly StoredLogRow[]): StoredLogRow[][] {
  const runs: StoredLogRow[][] = [];
  for (const row of rows) {
    const run = runs.at(-1);
    if (run !== undefined && run.at(-1)?.index === row.index - 1) run.push(row);
    else runs.push([row]);
  }
  return runs;
}

/** Where entries are missing or another tree's, their numbers cannot be judged. */
function numberingOf({ check, sources }: Checks, { treeSize, numbering }: StoredState): Fault[] {
  if (!check.isComparable || check.size !== treeSize) return [];
  const { size, sources: recorded } = sources.records();
  return numberingFaults(numbering, { size, sources: recorded, open: sources.open() });
}

function known({ size, root }: StoredTree): KnownTree {
  return { size, root, name: `the stored checkpoint of ${size}` };
}

function reportUnlessSigned(check: LogCheck, { note, size, root }: StoredTree, keys: readonly VerifierKey[]): void {
  if (isWhatItSays(note, { size, root, keys })) return;
  check.report({ kind: 'signature', detail: `the stored checkpoint of ${size} is not what was signed` });
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
