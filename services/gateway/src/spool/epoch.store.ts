import { open, readFile, readdir, rm, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { codeOf, createOwnedFolder, syncFolder } from './epoch-owner.store.js';
import type { OwnedFolder } from './epoch-owner.store.js';
import { decodeRecords, encodeRecord } from './record-line.js';
import type { SpoolRecord } from './record-line.js';

interface Segment {
  readonly file: string;
  /** Number of its first record. */
  readonly first: number;
  count: number;
  bytes: number;
}

const segmentName = (first: number) => `${String(first).padStart(12, '0')}.records`;
const segmentPattern = /^(\d{12})\.records$/;

/**
 * The records of one life of one gateway process, in files of bounded size, numbered from 1 without a gap by their
 * places. Only the process that made it appends; a later life never goes on with the numbering of an earlier one, so no
 * number can ever name two events, whatever a crash did to the end of the file.
 */
export class Epoch {
  readonly id: string;
  readonly #owned: OwnedFolder | undefined;
  readonly #folder: string;
  readonly #segmentBytes: number;
  readonly #segments: Segment[];
  #file: FileHandle | undefined;
  #isOpen: boolean;
  #last: number;

  private constructor(parts: {
    id: string;
    folder: string;
    segments: Segment[];
    owned?: OwnedFolder;
    segmentBytes?: number;
  }) {
    this.id = parts.id;
    this.#folder = parts.folder;
    this.#segments = parts.segments;
    this.#owned = parts.owned;
    this.#segmentBytes = parts.segmentBytes ?? 0;
    this.#isOpen = parts.owned !== undefined;
    this.#last = parts.segments.reduce((last, { first, count }) => Math.max(last, first + count - 1), 0);
  }

  static async create(root: string, id: string, segmentBytes: number): Promise<Epoch> {
    const owned = await createOwnedFolder(root, id);
    return new Epoch({ id, folder: owned.folder, segments: [], owned, segmentBytes });
  }

  /** One that its process has left behind. What a crash tore off in the middle of a write was never published. */
  static async leftBehind(root: string, id: string): Promise<{ epoch: Epoch; tornBytes: number }> {
    const folder = path.join(root, id);
    const names = (await readdir(folder)).flatMap((name) => {
      const first = segmentPattern.exec(name)?.[1];
      return first === undefined ? [] : [{ file: path.join(folder, name), first: Number(first) }];
    });
    names.sort((a, b) => a.first - b.first);
    const segments: Segment[] = [];
    let tornBytes = 0;
    for (const { file, first } of names) {
      const bytes = await readFile(file);
      const { records, torn } = decodeRecords(bytes);
      const previous = segments.at(-1);
      // Behind a hole nothing can be numbered. It takes a damaged disk: segments are on it before the next one begins.
      if (tornBytes > 0 || (previous !== undefined && previous.first + previous.count !== first)) {
        tornBytes += bytes.length;
        continue;
      }
      tornBytes += torn;
      segments.push({ file, first, count: records.length, bytes: bytes.length });
    }
    return { epoch: new Epoch({ id, folder, segments }), tornBytes };
  }

  /** Number of the last record that is on the disk; 0 when there is none. */
  get last(): number {
    return this.#last;
  }

  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Whether this process made it: then nobody else can have taken anything out of it. */
  get isOwn(): boolean {
    return this.#owned !== undefined;
  }

  /** The last record that is not there any more, because the log has it. */
  get forgotten(): number {
    return (this.#segments[0]?.first ?? this.#last + 1) - 1;
  }

  /** Whether records may still come. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /**
   * Adds records; when it resolves they are on the disk. After a failure it is not known which of them are, and the
   * epoch is closed: nothing behind them could be trusted. Records before them stay good.
   */
  async append(records: readonly SpoolRecord[]): Promise<void> {
    if (!this.#isOpen) throw new Error('the epoch is closed');
    try {
      const bytes = Buffer.concat(records.map(encodeRecord));
      const segment = await this.#segment();
      await this.#file?.appendFile(bytes);
      await this.#file?.datasync();
      segment.count += records.length;
      segment.bytes += bytes.length;
      this.#last += records.length;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** The records after number `after`, at most `max` and none that is not on the disk for sure. */
  async read(after: number, max: number): Promise<SpoolRecord[]> {
    const segment = this.#segments.find(({ first, count }) => after + 1 >= first && after + 1 < first + count);
    if (segment === undefined) return [];
    const { records } = decodeRecords(await readFile(segment.file));
    const from = after + 1 - segment.first;
    const found = records.slice(from, Math.min(from + max, segment.count));
    if (found.length === 0) throw new Error(`record ${after + 1} of ${this.id} cannot be read any more`);
    return found;
  }

  /** The last record that would go if the log had everything up to `upTo`: files go as a whole. */
  forgettable(upTo: number): number {
    return this.#removable(upTo).reduce((_, { first, count }) => first + count - 1, this.forgotten);
  }

  /** Removes what the log has, in whole files. Answers true when there is nothing left and nothing to come. */
  async forget(upTo: number): Promise<boolean> {
    for (const { file } of this.#removable(upTo)) {
      this.#segments.shift();
      await unlink(file).catch(ignoreMissing);
    }
    if (this.#isOpen || this.#segments.length > 0) return false;
    await this.remove();
    return true;
  }

  async remove(): Promise<void> {
    await this.close();
    await rm(this.#folder, { recursive: true, force: true });
    await this.#owned?.release();
  }

  /** Leaves it to whoever looks into the folder next. */
  async release(): Promise<void> {
    await this.close();
    await this.#owned?.release();
  }

  /** No record comes any more. Others leave it alone for as long as this process lives. */
  async close(): Promise<void> {
    this.#isOpen = false;
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => undefined);
  }

  #removable(upTo: number): Segment[] {
    const written = this.#isOpen ? this.#segments.at(-1) : undefined;
    const end = this.#segments.findIndex((segment) => segment === written || segment.first + segment.count - 1 > upTo);
    return this.#segments.slice(0, end === -1 ? undefined : end);
  }

  async #segment(): Promise<Segment> {
    const current = this.#segments.at(-1);
    if (current !== undefined && this.#file !== undefined && current.bytes < this.#segmentBytes) return current;
    await this.#file?.close();
    const first = this.#last + 1;
    const file = path.join(this.#folder, segmentName(first));
    this.#file = await open(file, 'ax', 0o600);
    await syncFolder(this.#folder);
    const segment = { file, first, count: 0, bytes: 0 };
    this.#segments.push(segment);
    return segment;
  }
}

function ignoreMissing(error: unknown): void {
  if (codeOf(error) !== 'ENOENT') throw error;
}
