import { z } from 'zod';
import canonicalize from 'canonicalize';
import { isSignedBy, parseCheckpoint } from '../log/checkpoint.js';
import type { SignedCheckpoint, VerifierKey } from '../log/checkpoint.js';
import { verifyConsistency, verifyInclusion } from '../log/proof.js';
import { leafHash } from '../log/tree.js';
import { LogCheck } from './log-check.js';
import type { Fault, KnownTree } from './log-check.js';
import { SourceCheck } from './source-check.js';

const Base64 = z.base64().transform((text) => Buffer.from(text, 'base64'));
const ProofFile = z.object({ index: z.int().min(0), entry: Base64, proof: z.array(Base64), checkpoint: z.string() });
const ConsistencyFile = z.object({ proof: z.array(Base64) });
const ExportLine = z.union([
  z.object({ index: z.int().min(0), entry: z.string() }),
  z.object({ index: z.int().min(0), event: z.record(z.string(), z.unknown()) }),
  z.object({ checkpoint: z.string() }),
]);

export interface FileCheck {
  readonly faults: readonly Fault[];
  /** What was shown, in a sentence. */
  readonly summary: string;
}

/** Reads a checkpoint and checks that one of the keys has signed it, if any is given. Throws MalformedNote. */
export function readCheckpoint(
  note: string,
  keys: readonly VerifierKey[],
): { checkpoint: SignedCheckpoint; faults: Fault[] } {
  const checkpoint = parseCheckpoint(note);
  const isGood = keys.length === 0 || keys.some((key) => isSignedBy(checkpoint, key));
  const detail = `the checkpoint of ${checkpoint.size} is not signed by ${keys.map(({ name }) => name).join(' or ')}`;
  return { checkpoint, faults: isGood ? [] : [{ kind: 'signature', detail }] };
}

/** Checks the answer of the proof endpoint: the entry is in the tree that its checkpoint signs. */
export function checkProofFile(json: unknown, keys: readonly VerifierKey[]): FileCheck {
  const file = ProofFile.parse(json);
  const { checkpoint, faults } = readCheckpoint(file.checkpoint, keys);
  const { size, root } = checkpoint;
  const isIn = verifyInclusion({
    index: BigInt(file.index),
    size,
    root,
    leafHash: leafHash(file.entry),
    proof: file.proof,
  });
  const detail = `the proof does not lead from entry ${file.index} to the root of the checkpoint of ${size}`;
  const all: Fault[] = isIn ? faults : [...faults, { kind: 'altered', index: file.index, detail }];
  return { faults: all, summary: `entry ${file.index} is in the log of ${size} entries` };
}

/** Checks that the newer checkpoint's log begins with the older one's, by the answer of the consistency endpoint. */
export function checkConsistency(
  notes: { readonly older: string; readonly newer: string },
  json: unknown,
  keys: readonly VerifierKey[],
): FileCheck {
  const { proof } = ConsistencyFile.parse(json);
  const older = readCheckpoint(notes.older, keys);
  const newer = readCheckpoint(notes.newer, keys);
  const [old, now] = [older.checkpoint, newer.checkpoint];
  const isGrown = verifyConsistency({ oldSize: old.size, oldRoot: old.root, size: now.size, root: now.root, proof });
  const detail = `the log of ${now.size} entries is not shown to begin with the log of ${old.size}`;
  const faults: Fault[] = [...older.faults, ...newer.faults, ...(isGrown ? [] : [{ kind: 'fork', detail } as const])];
  return { faults, summary: `the log of ${now.size} entries begins with the log of ${old.size}` };
}

/** A line as the gateway writes it: what follows `"event":` are the hashed bytes, and need not be parsed to be hashed. */
const entryLine = /^\{"index":(0|[1-9][0-9]{0,15}),"receivedAt":"[0-9TZ:.+-]*","event":(\{.*\})\}$/;

function readExportLine(value: unknown): z.output<typeof ExportLine> {
  // The ordinary line, without the schema's cost: a log has millions of them.
  if (typeof value === 'object' && value !== null && 'index' in value && 'entry' in value) {
    const { index, entry } = value;
    if (typeof index === 'number' && Number.isSafeInteger(index) && index >= 0 && typeof entry === 'string')
      return { index, entry };
  }
  return ExportLine.parse(value);
}

/**
 * Checks an unfiltered export line by line against the checkpoint in it and those that were kept: it holds every
 * entry of the log, in order and unchanged.
 */
export class ExportCheck {
  readonly #keys: readonly VerifierKey[];
  readonly #check: LogCheck;
  readonly #sources = new SourceCheck();
  readonly #faults: Fault[] = [];
  #note: string | undefined;

  constructor({ keys, kept }: { keys: readonly VerifierKey[]; kept: readonly KnownTree[] }) {
    this.#keys = keys;
    this.#check = new LogCheck(kept);
  }

  /** Takes one line of the file. Throws what JSON and the schema throw for a line that is none of ours. */
  add(line: string): void {
    const [, index, event] = entryLine.exec(line) ?? [];
    if (index !== undefined && event !== undefined) {
      this.#add(Number(index), event);
      return;
    }
    const value = readExportLine(JSON.parse(line));
    if ('checkpoint' in value) this.#note = value.checkpoint;
    else {
      const text = 'entry' in value ? value.entry : (canonicalize(value.event) ?? '');
      this.#add(value.index, text);
    }
  }

  #add(index: number, text: string): void {
    const bytes = Buffer.from(text, 'utf8');
    this.#check.add({ index, bytes });
    if (this.#check.isComparable) this.#sources.add(index, bytes);
  }

  finish(): FileCheck {
    const faults = [...this.#faults];
    if (this.#note === undefined)
      faults.push({ kind: 'missing', detail: 'the export names no checkpoint: it may have been cut' });
    else {
      const { checkpoint, faults: unsigned } = readCheckpoint(this.#note, this.#keys);
      faults.push(...unsigned, ...this.#judge(checkpoint));
    }
    return {
      faults: [...faults, ...this.#sources.finish(), ...this.#check.finish()],
      summary: `${this.#check.size} entries are the whole log of their checkpoint; ${this.#sources.summary()}`,
    };
  }

  #judge({ size, root }: SignedCheckpoint): Fault[] {
    const seen = BigInt(this.#check.size);
    if (seen < size)
      return [
        {
          kind: 'missing',
          index: Number(seen),
          detail: `the checkpoint covers ${size} entries and the export ends after ${seen}`,
        },
      ];
    if (seen > size)
      return [{ kind: 'malformed', detail: `the export holds ${seen} entries and its checkpoint covers ${size}` }];
    // What is wrong before this tree has been named already.
    if (!this.#check.isComparable || this.#check.root().equals(root)) return [];
    return [{ kind: 'fork', detail: 'the entries are not those that the checkpoint signs' }];
  }
}
