import { RetiredEntries } from '@prime-nest/contracts/audit';
import canonicalize from 'canonicalize';
import { z } from 'zod';
import type { SignedCheckpoint, VerifierKey } from '@prime-nest/kit/tlog/checkpoint';
import { retiredRange } from '../log/retirement.js';
import { readCheckpoint } from './files.js';
import type { FileCheck } from './files.js';
import { LogCheck } from './log-check.js';
import type { Fault, KnownTree } from './log-check.js';
import { RetirementCheck } from './retirement-check.js';
import { SourceCheck } from './source-check.js';

const ExportLine = z.union([
  z.object({ index: z.int().min(0), entry: z.string() }),
  z.object({ index: z.int().min(0), event: z.record(z.string(), z.unknown()) }),
  z.object({ retired: RetiredEntries }),
  z.object({ checkpoint: z.string() }),
]);

/** A line as the gateway writes it: what follows `"event":` are the hashed bytes, and need not be parsed to be hashed. */
const entryLine = /^\{"index":(0|[1-9][0-9]{0,15}),"receivedAt":"[0-9TZ:.+-]*","event":(\{.*\})\}$/;

export type Line =
  | { readonly index: number; readonly text: string }
  | { readonly retired: RetiredEntries }
  | { readonly checkpoint: string };

/** Reads one line of an export or of an archive. Throws what JSON and the schema throw for anything else. */
export function readLine(line: string): Line {
  const [, at, event] = entryLine.exec(line) ?? [];
  if (at !== undefined && event !== undefined) return { index: Number(at), text: event };
  const value: unknown = JSON.parse(line);
  // The ordinary line, without the schema's cost: a log has millions of them.
  if (typeof value === 'object' && value !== null && 'index' in value && 'entry' in value) {
    const { index, entry } = value;
    if (typeof index === 'number' && Number.isSafeInteger(index) && index >= 0 && typeof entry === 'string')
      return { index, text: entry };
  }
  const parsed = ExportLine.parse(value);
  if ('entry' in parsed) return { index: parsed.index, text: parsed.entry };
  if ('event' in parsed) return { index: parsed.index, text: canonicalize(parsed.event) ?? '' };
  return parsed;
}

/**
 * Checks an unfiltered export line by line against the checkpoint in it and those that were kept: it holds every
 * entry of the log, in order and unchanged.
 */
export class ExportCheck {
  readonly #keys: readonly VerifierKey[];
  readonly #check: LogCheck;
  readonly #sources = new SourceCheck();
  readonly #retirement = new RetirementCheck();
  #note: string | undefined;

  constructor({ keys, kept }: { keys: readonly VerifierKey[]; kept: readonly KnownTree[] }) {
    this.#keys = keys;
    this.#check = new LogCheck(kept);
  }

  /** Takes one line of the file. Throws what JSON and the schema throw for a line that is none of ours. */
  add(line: string): void {
    const value = readLine(line);
    if ('checkpoint' in value) this.#note = value.checkpoint;
    else if ('retired' in value) this.#pass(value.retired);
    else this.#add(value.index, value.text);
  }

  #add(index: number, text: string): void {
    const bytes = Buffer.from(text, 'utf8');
    this.#check.add({ index, bytes });
    this.#retirement.add(index, bytes);
    if (this.#check.isComparable) this.#sources.add(index, bytes);
  }

  /** Entries that are retired: their archive has been read before, or only the tree's edge after them is known. */
  #pass(retired: RetiredEntries): void {
    const isArchived = this.#check.size > 0;
    this.#check.resume(retiredRange(retired));
    this.#retirement.claim(retired);
    if (!isArchived) this.#sources.resume(retired);
  }

  finish(): FileCheck {
    const faults: Fault[] = [...this.#retirement.finish()];
    if (this.#note === undefined)
      faults.push({ kind: 'missing', detail: 'the export names no checkpoint: it may have been cut' });
    else {
      const { checkpoint, faults: unsigned } = readCheckpoint(this.#note, this.#keys);
      faults.push(...unsigned, ...this.#judge(checkpoint));
    }
    return {
      faults: [...faults, ...this.#sources.finish(), ...this.#check.finish()],
      summary: `${this.#check.size} entries are the whole log of their checkpoint${this.#retirement.summary()}; ${this.#sources.summary()}`,
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
