import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Clock } from '@prime-nest/kit/clock';
import type { Database } from '@prime-nest/kit/database';
import type { CheckLogCommand } from '../check/check-log.command.js';
import { SourceCheck } from '../check/source-check.js';
import type { VerifierKey } from '@prime-nest/kit/tlog/checkpoint';
import { entryBytes } from '../log/entry.js';
import type { LogStore } from '../log/log.store.js';
import { ownEvent } from '../log/own-event.js';
import { inclusionRanges } from '@prime-nest/kit/tlog/proof';
import { frontierBytes, frontierText, retiredRange, retirementType } from '../log/retirement.js';
import type { RetirementManifest } from '../log/retirement.js';
import { CompactRange, leafHash } from '@prime-nest/kit/tlog/tree';
import type { CheckpointStore } from '../proof/checkpoint.store.js';
import type { TreeStore } from '../proof/tree.store.js';
import type { EntryStore } from '../search/entry.store.js';
import { ArchiveFile, digestOf } from './archive-file.store.js';
import type { ArchiveDigest } from './archive-file.store.js';
import type { Partition, RetentionStore, WrittenManifest } from './retention.store.js';

export interface RetireRequest {
  /** Only partitions whose every entry was received before it. */
  readonly before: Date;
  /** Where archives and proofs are written. */
  readonly folder: string;
  readonly reason?: string;
  /** Removes the table as well, after its archive was read back. */
  readonly isDropping: boolean;
  /** Keys of which one must have signed the log's checkpoints; without any, signatures are not checked. */
  readonly keys?: readonly VerifierKey[];
}

export type RetireOutcome =
  | { readonly kind: 'retired'; readonly partition: Partition; readonly manifest: number; readonly archive: string }
  | { readonly kind: 'nothing'; readonly why: string }
  /** The log has a fault, or this partition is not what was archived: nothing was taken out. */
  | { readonly kind: 'refused'; readonly why: string }
  /** The manifest is in the log and not signed yet: to be called again. */
  | { readonly kind: 'unsigned'; readonly manifest: number };

const chunk = 1_000;
const signPollMs = 200;

/**
 * Retires the oldest partition of the log as its owner: archives its entries to a file, writes a manifest into the log,
 * waits until a checkpoint signs that, and only then takes the partition out of the log, keeping its hashes. A log in
 * which the check finds any fault is left as it is, because what is wrong could not be shown any more. A crash anywhere
 * leaves the partition in the log or out of it with its manifest signed; calling it again goes on from there.
 */
export class RetirePartitionCommand {
  readonly #parts: RetireParts;

  constructor(parts: RetireParts) {
    this.#parts = parts;
  }

  async run(request: RetireRequest): Promise<RetireOutcome> {
    const { database, store, checkpoints, check } = this.#parts;
    const before = (await store.newestManifest(database))?.content;
    const first = before?.to ?? 0;
    const partition = await store.partitionAt(database, first);
    if (partition === undefined) return { kind: 'nothing', why: `no partition begins at entry ${first}` };
    const { from, to } = partition;
    const newest = await checkpoints.newest(database);
    if (newest === undefined || newest.treeSize < to)
      return { kind: 'nothing', why: `the partition of the entries ${from} to ${to - 1} is not full and signed` };
    const received = await store.received(database, partition);
    if (received === undefined) return { kind: 'refused', why: `entries between ${from} and ${to - 1} are not there` };
    if (received.last >= request.before)
      return { kind: 'nothing', why: `entry ${to - 1} was received at ${received.last.toISOString()}` };
    const { faults } = await check.run({ keys: request.keys ?? [] });
    if (faults[0] !== undefined) return { kind: 'refused', why: faults[0].detail };

    const archive = path.join(request.folder, `audit-${from}-${to - 1}.ndjson`);
    // What was begun before goes on; a manifest of anything but this file is none of ours.
    const digest = await digestOf(archive);
    const written = (await store.manifestsOf(database, from)).find(({ content }) => isOf(content, partition, digest));
    const manifest = written ?? (await this.#write({ partition, archive, before, received, request }));
    if (!(await this.#isSigned(manifest.index))) return { kind: 'unsigned', manifest: manifest.index };
    const isTaken = await this.#detach(partition, manifest);
    if (!isTaken) return { kind: 'refused', why: `the entries ${from} to ${to - 1} are not those of the manifest` };
    await this.#writeProof(manifest.index, `${archive}.proof.json`);
    // The table is the last copy in the database: the file is read back before it goes.
    if (request.isDropping) {
      if (!isOf(manifest.content, partition, await digestOf(archive)))
        return { kind: 'refused', why: `${archive} cannot be read back: the table ${partition.name} stays` };
      await store.drop(database, partition);
    }
    return { kind: 'retired', partition, manifest: manifest.index, archive };
  }

  /** The archive first: what a manifest names is on the disk. */
  async #write({ partition, archive, before, received, request }: WriteManifest): Promise<WrittenManifest> {
    const { database, log, entries, clock, newId } = this.#parts;
    const range = before === undefined ? CompactRange.empty() : retiredRange(before);
    const frontierFrom = frontierText(range);
    const sources = new SourceCheck();
    if (before !== undefined) sources.resume(before);
    const file = await ArchiveFile.create(archive);
    try {
      while (range.size < partition.to) {
        const rows = await entries.range(database, range.size, Math.min(range.size + chunk, partition.to));
        for (const { index, bytes, leafHash: kept } of rows) {
          const leaf = leafHash(bytes);
          if (index !== range.size || !leaf.equals(kept)) throw new RangeError(`entry ${index} is not what was hashed`);
          range.append(leaf);
          sources.add(index, bytes);
        }
        if (rows.length === 0) throw new RangeError(`entry ${range.size} is not there`);
        await file.add(rows);
      }
    } catch (error) {
      await file.abandon();
      throw error;
    }
    const content: RetirementManifest = {
      from: partition.from,
      to: partition.to,
      frontierFrom,
      frontier: frontierText(range),
      records: sources.records(),
      receivedFrom: received.first.toISOString(),
      receivedTo: received.last.toISOString(),
      archive: await file.finish(),
      ...(request.reason === undefined ? {} : { reason: request.reason }),
    };
    const index = await database.transaction(async (tx) => {
      const state = await log.lockState(tx);
      const receivedAt = clock();
      const event = ownEvent({ type: retirementType, id: newId(), at: receivedAt, after: content });
      const bytes = entryBytes(event);
      await log.grow(tx, state, [{ receivedAt, event, place: undefined, leafHash: leafHash(bytes), bytes }]);
      return state.treeSize;
    });
    return { index, content };
  }

  async #isSigned(index: number): Promise<boolean> {
    const { database, checkpoints, signWaitMs } = this.#parts;
    for (let waitedMs = 0; ; waitedMs += signPollMs) {
      const newest = await checkpoints.newest(database);
      if (newest !== undefined && newest.treeSize > index) return true;
      if (waitedMs >= signWaitMs) return false;
      await wait(signPollMs);
    }
  }

  /** False when the hashes that would stay are not those that the manifest speaks for. */
  async #detach(partition: Partition, { index, content }: WrittenManifest): Promise<boolean> {
    const { database, store, tree } = this.#parts;
    return database.transaction(async (tx) => {
      await store.takeTime(tx);
      const range = retiredRange({ to: content.from, frontier: content.frontierFrom });
      for (let from = partition.from; from < partition.to; from += chunk) {
        const width = Math.min(chunk, partition.to - from);
        const hashes = await tree.hashes(tx, 0, from, width);
        for (let at = 0; at < width; at++) range.append(hashes.subarray(at * 32, (at + 1) * 32));
      }
      if (!range.toBytes().equals(frontierBytes(content.frontier))) return false;
      await store.detach(tx, partition, index);
      return true;
    });
  }

  /** The proof that goes with the archive, as GET /audit/events/:id/proof would give it. */
  async #writeProof(index: number, file: string): Promise<void> {
    const { database, entries, checkpoints, tree } = this.#parts;
    const [entry] = await entries.range(database, index, index + 1);
    const checkpoint = await checkpoints.newest(database);
    if (entry === undefined || checkpoint === undefined) throw new RangeError('the manifest is not there any more');
    const proof = await tree.rangeRoots(database, inclusionRanges(index, checkpoint.treeSize));
    const content = {
      index,
      treeSize: checkpoint.treeSize,
      entry: entry.bytes.toString('base64'),
      proof: proof.map((hash) => hash.toString('base64')),
      checkpoint: checkpoint.note,
    };
    await writeFile(`${file}.part`, `${JSON.stringify(content)}\n`, { mode: 0o600 });
    await rename(`${file}.part`, file);
  }
}

function isOf({ to, archive }: RetirementManifest, partition: Partition, digest: ArchiveDigest | undefined): boolean {
  return to === partition.to && archive.sha256 === digest?.sha256 && archive.bytes === digest.bytes;
}

export interface RetireParts {
  /** As the owner of the schema. */
  readonly database: Database;
  readonly log: LogStore;
  readonly entries: EntryStore;
  readonly tree: TreeStore;
  readonly checkpoints: CheckpointStore;
  readonly store: RetentionStore;
  readonly check: CheckLogCommand;
  readonly clock: Clock;
  readonly newId: () => string;
  /** How long to wait for the signer. */
  readonly signWaitMs: number;
}

interface WriteManifest {
  readonly partition: Partition;
  readonly archive: string;
  readonly before: RetirementManifest | undefined;
  readonly received: { readonly first: Date; readonly last: Date };
  readonly request: RetireRequest;
}
