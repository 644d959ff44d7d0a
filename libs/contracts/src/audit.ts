import { z } from 'zod';
import { AuditEvent, Outcome } from './events.js';
import { CorrelationId, Id } from './ids.js';
import type { RpcContracts } from './rpc.js';

const Instant = z.iso.datetime();

/**
 * An event as the log shows it: what its source recorded, and its place. `index` is its position in the log
 * (0-based, gapless); `receivedAt` is the log's own clock.
 */
export const LogEntry = z.object({
  ...AuditEvent.omit({ schema: true }).shape,
  index: z.int().min(0),
  receivedAt: Instant,
});
export type LogEntry = z.infer<typeof LogEntry>;

/** There is no year 0 in the calendar of the database that looks for it. */
const SearchedInstant = Instant.refine((text) => !text.startsWith('0000'), { error: 'must not lie before the year 1' });

/** Conditions are joined by AND. `occurredFrom` is inclusive, `occurredTo` exclusive. */
export const EventFilter = z.strictObject({
  actorId: z.string().max(64).optional(),
  action: z.string().max(64).optional(),
  type: z.string().max(64).optional(),
  resourceType: z.string().max(32).optional(),
  resourceId: z.string().max(128).optional(),
  outcome: Outcome.optional(),
  traceId: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .optional(),
  correlationId: CorrelationId.optional(),
  occurredFrom: SearchedInstant.optional(),
  occurredTo: SearchedInstant.optional(),
});
export type EventFilter = z.infer<typeof EventFilter>;

const Count = z.int().min(0);
const Hash = z.base64().length(44);

/**
 * A signed tree head as text: a C2SP checkpoint (`origin`, size, root) in a C2SP signed note (Ed25519). Two of them
 * with a consistency proof show that nothing between them was changed, removed or put in.
 */
const CheckpointNote = z.string().max(4096);

/** An entry as the log holds it: `entry` is the text whose UTF-8 bytes were hashed (RFC 8785 JSON of the event). */
export const ExportedEntry = z.object({ index: Count, receivedAt: Instant, entry: z.string() });
export type ExportedEntry = z.infer<typeof ExportedEntry>;

/**
 * Entries that are not in the database any more: all below `to`. `frontier` are the roots of the complete subtrees of
 * the log's first `to` entries, the biggest first, and `records` how far the records of sources went among them; the
 * entry `manifest` of the log says the same.
 */
export const RetiredEntries = z.object({
  to: Count,
  manifest: Count,
  frontier: z.array(Hash),
  records: z.object({
    size: Count,
    sources: z.array(z.object({ source: z.string(), epoch: z.string(), sequence: Count })),
  }),
});
export type RetiredEntries = z.infer<typeof RetiredEntries>;

export const auditRpc = {
  /** Newest first. The page after `cursor` stays the same while the log grows. The search itself is recorded. */
  'audit.event.search.v1': {
    request: EventFilter.extend({
      limit: z.int().min(1).max(200).default(50),
      cursor: z.string().max(64).optional(),
    }),
    response: z.object({ data: z.array(LogEntry), nextCursor: z.string().nullable() }),
    errors: [],
    timeoutMs: 1400,
  },
  'audit.event.get.v1': {
    request: z.strictObject({ id: Id }),
    response: LogEntry,
    errors: ['not_found'],
    timeoutMs: 1000,
  },
  /**
   * Proves that an event is in the log (RFC 6962 §2.1.1): `proof` leads from the hash of `entry` (base64 of the hashed
   * bytes) to the root in `checkpoint`. An event of the last second may still answer `unavailable`: not signed yet.
   */
  'audit.event.proof.v1': {
    request: z.strictObject({ id: Id }),
    response: z.object({
      index: Count,
      treeSize: Count,
      entry: z.base64(),
      proof: z.array(Hash),
      checkpoint: CheckpointNote,
    }),
    errors: ['not_found'],
    timeoutMs: 2500,
  },
  /**
   * One page of an export in log order. All pages of an export end at the tree of the first page's `checkpoint`, which
   * comes with each: without a filter the entries are exactly that tree, but for those that the first page names as
   * retired. Each page is recorded.
   */
  'audit.event.export.v1': {
    request: EventFilter.extend({
      limit: z.int().min(1).max(1000).default(500),
      cursor: z.string().max(64).optional(),
    }),
    response: z.object({
      data: z.array(ExportedEntry),
      nextCursor: z.string().nullable(),
      checkpoint: CheckpointNote,
      retired: RetiredEntries.optional(),
    }),
    errors: [],
    timeoutMs: 3000,
  },
  /** The newest checkpoint, with the public key to check it by (C2SP verifier key; get it on a second way, too). */
  'audit.checkpoint.get.v1': {
    request: z.strictObject({}),
    response: z.object({
      treeSize: Count,
      rootHash: Hash,
      checkpoint: CheckpointNote,
      verifierKey: z.string(),
      signedAt: Instant,
    }),
    errors: [],
    timeoutMs: 1000,
  },
  /**
   * Proves that the tree of size `to` begins with the tree of size `from` (RFC 6962 §2.1.2). `to` is the newest
   * checkpoint's size when left out and never beyond it; `checkpoint` is that newest one.
   */
  'audit.checkpoint.consistency.v1': {
    request: z.strictObject({ from: z.int().min(1), to: z.int().min(1).optional() }),
    response: z.object({ from: Count, to: Count, proof: z.array(Hash), checkpoint: CheckpointNote }),
    errors: ['not_found'],
    timeoutMs: 1400,
  },
  /**
   * A tile of hashes (C2SP tlog-tiles, height 8): `width` hashes, 256 for a full one, concatenated and in base64.
   * `not_found` for what the newest checkpoint does not cover.
   */
  'audit.tile.get.v1': {
    request: z.strictObject({
      level: z.int().min(0).max(6),
      index: z.int().min(0),
      width: z.int().min(1).max(256).default(256),
    }),
    response: z.object({ data: z.base64() }),
    errors: ['not_found'],
    timeoutMs: 1400,
  },
  /**
   * How far the log has taken a source's sequence: every number up to `sequence` is an entry (0: none). A source asks
   * before it forgets what it published, and publishes again from there when the stream has lost something.
   */
  'audit.receipt.get.v1': {
    request: z.strictObject({ source: z.string().regex(/^[a-z]{2,32}$/), epoch: z.string().min(1).max(64) }),
    response: z.object({ sequence: Count, checkpoint: CheckpointNote.nullable() }),
    errors: [],
    timeoutMs: 1000,
  },
  /**
   * Proves events to the source that published them, before it forgets them: a signed checkpoint, which begins with the
   * tree of size `since`, and for as many of the events as it answers for, from the first on, the entry at which each
   * stands. `entry` is that entry where it is not the event itself: what speaks for a message in quarantine. The hashes of
   * the entries are in `tiles`, each proven as the leaf of the tree of tiles that it is.
   */
  'audit.receipt.prove.v1': {
    request: z.strictObject({
      events: z
        .array(z.strictObject({ id: z.uuid(), sha256: z.string().regex(/^[0-9a-f]{64}$/) }))
        .min(1)
        .max(256),
      since: z.int().min(1).optional(),
    }),
    response: z.object({
      checkpoint: CheckpointNote,
      consistency: z.array(Hash),
      entries: z.array(z.object({ index: Count, entry: z.base64().optional() })),
      tiles: z.array(z.object({ index: Count, hashes: z.base64(), proof: z.array(Hash) })),
    }),
    errors: [],
    timeoutMs: 1400,
  },
} as const satisfies RpcContracts;
export type AuditRpc = typeof auditRpc;
