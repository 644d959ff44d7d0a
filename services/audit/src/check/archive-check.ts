import { createHash } from 'node:crypto';
import type { VerifierKey } from '@prime-nest/kit/tlog/checkpoint';
import { frontierBytes, readManifest, retiredRange } from '../log/retirement.js';
import type { RetirementManifest } from '../log/retirement.js';
import { leafHash } from '@prime-nest/kit/tlog/tree';
import type { CompactRange } from '@prime-nest/kit/tlog/tree';
import { readLine } from './export-check.js';
import { ProofFile, checkProofFile } from './files.js';
import type { FileCheck } from './files.js';
import type { Fault } from './log-check.js';

/**
 * Checks the archive of retired entries against the entry of the log that retired them, by the proof of that entry: the
 * file is the one that was written then, and its entries are those that the log's tree is made of. Give the file's
 * lines in order.
 */
export class ArchiveCheck {
  readonly #faults: Fault[];
  readonly #manifest: RetirementManifest | undefined;
  readonly #manifestIndex: number;
  readonly #digest = createHash('sha256');
  readonly #range: CompactRange | undefined;
  #hasGap = false;

  /** Throws what the schema throws for a file that is no proof. */
  constructor(proof: unknown, keys: readonly VerifierKey[]) {
    const { index, entry } = ProofFile.parse(proof);
    this.#faults = [...checkProofFile(proof, keys).faults];
    this.#manifestIndex = index;
    this.#manifest = readManifest(entry);
    if (this.#manifest === undefined) {
      this.#faults.push({ kind: 'malformed', index, detail: `the entry ${index} retires nothing` });
      return;
    }
    this.#range = retiredRange({ to: this.#manifest.from, frontier: this.#manifest.frontierFrom });
  }

  add(line: string): void {
    this.#digest.update(`${line}\n`);
    const range = this.#range;
    if (range === undefined) return;
    const read = readLine(line);
    if (!('index' in read)) {
      this.#faults.push({ kind: 'malformed', detail: 'a line of the archive is no entry' });
      return;
    }
    if (read.index !== range.size && !this.#hasGap) {
      this.#hasGap = true;
      const detail = `entry ${read.index} stands where entry ${range.size} belongs`;
      this.#faults.push({ kind: 'gap', index: range.size, detail });
    }
    range.append(leafHash(Buffer.from(read.text, 'utf8')));
  }

  finish(): FileCheck {
    const [manifest, range] = [this.#manifest, this.#range];
    if (manifest === undefined || range === undefined) return { faults: this.#faults, summary: '' };
    const { from, to, archive } = manifest;
    const isWhole = range.size === to;
    if (!isWhole) {
      const detail = `the manifest retires the entries ${from} to ${to - 1}, and the archive ends after ${range.size}`;
      this.#faults.push({ kind: 'missing', index: range.size, detail });
    } else if (!range.toBytes().equals(frontierBytes(manifest.frontier))) {
      const detail = `something in the entries ${from} to ${to - 1} is not what the log's tree is made of`;
      this.#faults.push({ kind: 'altered', index: from, detail });
    }
    if (this.#digest.digest('hex') !== archive.sha256)
      this.#faults.push({ kind: 'altered', index: from, detail: 'the file is not the one that was archived' });
    const summary = `the entries ${from} to ${to - 1} are those that the manifest at ${this.#manifestIndex} retired`;
    return { faults: this.#faults, summary };
  }
}
