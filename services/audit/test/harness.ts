import { headers as natsHeaders } from '@nats-io/transport-node';
import { eventHeaders, eventSubject, eventTable } from '@prime-nest/contracts/events';
import type { AuditEvent, EventType } from '@prime-nest/contracts/events';
import { formatTraceparent } from '@prime-nest/contracts/trace';
import { newTrace } from '@prime-nest/kit/context';
import { openDatabase } from '@prime-nest/kit/database';
import type { Database } from '@prime-nest/kit/database';
import { newId } from '@prime-nest/kit/ids';
import { silentLogger } from '@prime-nest/kit/log';
import { Secret } from '@prime-nest/kit/secret';
import { createTestDatabase } from '@prime-nest/testkit/postgres';
import type { TestDatabase } from '@prime-nest/testkit/postgres';
import { entryBytes } from '../src/log/entry.js';
import { readMessage } from '../src/log/message.js';
import type { Message } from '../src/log/message.js';
import { CompactRange, leafHash } from '@prime-nest/kit/tlog/tree';
import { auditMigrations } from '../src/migrations/list.js';

/** A fresh, migrated log, with the connection of the service's own role. */
export async function openTestLog(): Promise<{ server: TestDatabase; database: Database; close(): Promise<void> }> {
  const server = await createTestDatabase({ service: 'audit', migrations: auditMigrations });
  const database = await openTestDatabase(server.url);
  return {
    server,
    database,
    close: async () => {
      await database.close();
      await server.drop();
    },
  };
}

export function openTestDatabase(url: string): Promise<Database> {
  return openDatabase({
    url: new Secret(url),
    schema: 'audit',
    entities: [],
    ssl: false,
    poolMax: 5,
    log: silentLogger(),
    applicationName: 'audit-test',
    startTimeoutMs: 2_000,
  });
}

/** A valid event; `over` replaces fields. */
export function makeEvent(type: EventType = 'rbac.role.created.v1', over: Partial<AuditEvent> = {}): AuditEvent {
  const { action, resource } = eventTable[type];
  const trace = newTrace();
  return {
    schema: 'event.v1',
    id: newId(),
    source: type.slice(0, type.indexOf('.')),
    type,
    occurredAt: '2026-03-01T12:00:00.000Z',
    actor: { type: 'user', id: newId() },
    action,
    resource: { type: resource, id: newId() },
    outcome: 'success',
    correlationId: newId(),
    traceId: trace.traceId,
    spanId: trace.spanId,
    ...over,
  };
}

export const testEpoch = 'epoch-1';
let order = 0;

/** The event as the stream delivers it, number `sequence` of its source. */
export function makeMessage(event: AuditEvent, sequence: number, epoch = testEpoch, hasWaited = false): Message {
  return rawMessage(eventSubject(event.type), entryBytes(event), {
    source: event.source,
    epoch,
    sequence: String(sequence),
    hasWaited,
  });
}

export function rawMessage(
  subject: string,
  data: Uint8Array,
  {
    source,
    epoch,
    sequence,
    hasWaited = false,
  }: { source: string; epoch: string; sequence: string; hasWaited?: boolean },
): Message {
  order += 1;
  return readMessage({
    subject,
    data,
    source,
    epoch,
    sequence,
    order,
    hasWaited,
    traceparent: undefined,
    correlationId: undefined,
    publisher: undefined,
  });
}

export function eventMessageHeaders(event: AuditEvent, sequence: number, epoch = testEpoch) {
  const headers = natsHeaders();
  headers.set(eventHeaders.source, event.source);
  headers.set(eventHeaders.epoch, epoch);
  headers.set(eventHeaders.sequence, String(sequence));
  headers.set(eventHeaders.correlationId, event.correlationId);
  headers.set(
    eventHeaders.traceparent,
    formatTraceparent({ traceId: event.traceId, spanId: event.spanId, isSampled: true }),
  );
  return headers;
}

export interface LogRow {
  readonly index: number;
  readonly eventId: string;
  readonly type: string;
  readonly source: string;
  readonly sequence: number | null;
  readonly leafHash: Buffer;
  readonly entry: Buffer;
}

export async function readLog(database: Database): Promise<LogRow[]> {
  const rows = await database.query<{
    log_index: string;
    event_id: string;
    type: string;
    source: string;
    source_seq: string | null;
    leaf_hash: Buffer;
    entry: Buffer;
  }>('SELECT log_index, event_id, type, source, source_seq, leaf_hash, entry FROM event ORDER BY log_index');
  return rows.map((row) => ({
    index: Number(row.log_index),
    eventId: row.event_id,
    type: row.type,
    source: row.source,
    sequence: row.source_seq === null ? null : Number(row.source_seq),
    leafHash: row.leaf_hash,
    entry: row.entry,
  }));
}

/** Recomputes everything from the stored bytes; throws where the log contradicts itself. Answers its size. */
export async function verifyStoredLog(database: Database): Promise<number> {
  const rows = await readLog(database);
  const range = CompactRange.empty();
  rows.forEach((row, index) => {
    if (row.index !== index) throw new Error(`index ${row.index} stands at position ${index}`);
    if (!leafHash(row.entry).equals(row.leafHash)) throw new Error(`entry ${index} is not what was hashed`);
    range.append(row.leafHash);
  });
  const [state] = await database.query<{ tree_size: string; root: Buffer }>('SELECT tree_size, root FROM log_state');
  if (Number(state?.tree_size) !== rows.length)
    throw new Error(`the tree has ${state?.tree_size} leaves, the log ${rows.length} entries`);
  if (state?.root.equals(range.root()) !== true) throw new Error('the stored root is not the root of the entries');
  return rows.length;
}
