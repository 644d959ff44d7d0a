import { RetiredEntries } from '@prime-nest/contracts/audit';
import { z } from 'zod';
import { CompactRange, hashBytes } from '@prime-nest/kit/tlog/tree';

export const retirementType = 'audit.partition.retired.v1';

const Count = z.int().min(0);

/**
 * What the log says of entries that leave the database: those from `from` up to, not including, `to`, written to a file
 * of that digest and length. `frontier` and `records` describe everything below `to`, so that the newest manifest
 * speaks for all that was retired before it, too.
 */
export const RetirementManifest = RetiredEntries.omit({ manifest: true }).extend({
  from: Count,
  /** The same roots for everything below `from`: with them an archive can be checked by itself. */
  frontierFrom: RetiredEntries.shape.frontier,
  receivedFrom: z.iso.datetime(),
  receivedTo: z.iso.datetime(),
  archive: z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/), bytes: Count }),
  reason: z.string().max(200).optional(),
});
export type RetirementManifest = z.infer<typeof RetirementManifest>;

/** The manifest in an entry, undefined when the entry is none. No input makes it throw. */
export function readManifest(bytes: Uint8Array): RetirementManifest | undefined {
  try {
    const event = JSON.parse(Buffer.from(bytes).toString('utf8')) as { type?: unknown; change?: { after?: unknown } };
    if (event.type !== retirementType) return undefined;
    const manifest = RetirementManifest.safeParse(event.change?.after);
    return manifest.success && manifest.data.from < manifest.data.to ? manifest.data : undefined;
  } catch {
    return undefined;
  }
}

/** The roots that a manifest names, as the tree keeps them. */
export function frontierBytes(frontier: readonly string[]): Buffer {
  return Buffer.concat(frontier.map((hash) => Buffer.from(hash, 'base64')));
}

export function frontierText(range: CompactRange): string[] {
  const bytes = range.toBytes();
  return Array.from({ length: bytes.length / hashBytes }, (_, i) =>
    bytes.subarray(i * hashBytes, (i + 1) * hashBytes).toString('base64'),
  );
}

/** The tree of everything below `to`. Throws a RangeError when the hashes do not belong to that size. */
export function retiredRange({ to, frontier }: Pick<RetiredEntries, 'to' | 'frontier'>): CompactRange {
  return CompactRange.fromBytes(to, frontierBytes(frontier));
}
