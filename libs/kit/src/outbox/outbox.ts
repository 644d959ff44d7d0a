import { createHash } from 'node:crypto';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import { ParsedAuditEvent, eventDepthMax, eventSource, eventTable, isDeeperThan } from '@prime-nest/contracts/events';
import type { AuditEvent, EventDraft } from '@prime-nest/contracts/events';
import { formatTraceparent } from '@prime-nest/contracts/trace';
import { canonicalText } from '../canonical-json.js';
import type { Clock } from '../clock.js';
import { type Prepared, Tx } from '../database.js';
import { newId } from '../ids.js';
import { isSensitiveKey, maskText, wellFormed } from '../redact.js';
import { attribute } from '../telemetry-names.js';
import { inSpan } from '../telemetry.js';
import { entryBytesMax } from './outbox-migration.js';

export interface Outbox {
  /**
   * Adds the event to `tx`: it exists if and only if the mutation does. Throws `internal` when the draft is not an
   * event of this service or breaks the event schema, and then the mutation must not commit either.
   */
  append(tx: Tx, draft: EventDraft, context: CallContext): Promise<void>;
  /**
   * Runs a mutation of at most one row together with its event, in one statement: the event is there if and only if
   * the mutation returned a row. Answers that row. Throws like {@link append}.
   */
  appendWith<T>(tx: Tx, change: EventfulChange, context: CallContext): Promise<T | undefined>;
  /** Calls `wake` after each commit that added an event, in this process. The relay polls anyway. */
  onCommitted(wake: () => void): void;
}

export interface EventfulChange {
  /** `INSERT`, `UPDATE` or `DELETE` … `RETURNING`, of one row at most. */
  readonly mutation: Prepared;
  /** What the same statement changes besides, for a mutation that is never run with any other. */
  readonly consequence?: Consequence;
  /** Of the mutation and of its consequence. */
  readonly params: readonly unknown[];
  readonly draft: EventDraft;
}

/** Common table expressions that may read `mutation`, and what the answered row says of them. */
export interface Consequence {
  readonly expressions: string;
  readonly columns: string;
}

const columns = 'event_id, type, entry, correlation_id, traceparent';
const insertion: Prepared = {
  name: 'outbox.append',
  text: `INSERT INTO outbox (${columns}) VALUES ($1, $2, $3, $4, $5)`,
};

export function createOutbox({ service, clock }: { service: string; clock: Clock }): Outbox {
  const listeners: (() => void)[] = [];
  const woken = new WeakSet<Tx>();
  const combined = new Map<Prepared, Prepared>();

  /** Builds the event and lets `run` write its row, whose columns are {@link columns}. */
  async function write<T>(
    tx: Tx,
    draft: EventDraft,
    context: CallContext,
    run: (row: readonly (string | Buffer)[]) => Promise<T[]>,
  ): Promise<T[]> {
    Tx.assertOpen(tx);
    if (eventSource(draft.type) !== service) {
      throw new AppError('internal', { internal: { reason: 'an event of another service', type: draft.type } });
    }
    const event = buildEvent(service, draft, context, clock());
    const attributes = { [attribute.messagingMessageId]: event.id, 'event.type': event.type };
    const rows = await inSpan('outbox.append', { parent: context.trace, attributes }, ({ trace }) =>
      // Who publishes it, and who takes it in, go on from here: the trace leads through the outbox.
      run([event.id, event.type, encodeEvent(event), context.correlationId, formatTraceparent(trace)]),
    );
    if (woken.has(tx)) return rows;
    woken.add(tx);
    tx.afterCommit(() => {
      for (const wake of listeners) wake();
    });
    return rows;
  }

  return {
    async append(tx, draft, context) {
      await write(tx, draft, context, (row) => {
        tx.send(insertion, row);
        return Promise.resolve([]);
      });
    },
    async appendWith<T>(tx: Tx, change: EventfulChange, context: CallContext) {
      const { mutation, params, draft } = change;
      const statement = combined.get(mutation) ?? withEvent(change);
      combined.set(mutation, statement);
      const changed = await write(tx, draft, context, (row) => tx.query<T>(statement, [...params, ...row]));
      if (changed.length > 1) throw new AppError('internal', { internal: { reason: 'one event for several rows' } });
      return changed[0];
    },
    onCommitted(wake) {
      listeners.push(wake);
    },
  };
}

function withEvent({ mutation: { name, text }, consequence, params }: EventfulChange): Prepared {
  const [id, type, entry, correlation, traceparent] = [1, 2, 3, 4, 5].map((i) => `$${params.length + i}`);
  const { expressions, columns: told } = consequence ?? {};
  return {
    name: `${name}+event`,
    text: `WITH mutation AS (${text}), event AS (
      INSERT INTO outbox (${columns})
      SELECT ${id}::uuid, ${type}::text, ${entry}::bytea, ${correlation}::text, ${traceparent}::text FROM mutation)
      ${expressions === undefined ? '' : `, ${expressions}`}
      SELECT mutation.*${told === undefined ? '' : `, ${told}`} FROM mutation`,
  };
}

/** The whole event. Throws `internal` when the draft breaks the event schema. */
export function buildEvent(service: string, draft: EventDraft, context: CallContext, now: Date): AuditEvent {
  const { action, resource } = eventTable[draft.type];
  const event = {
    schema: 'event.v1',
    id: newId(),
    source: service,
    type: draft.type,
    occurredAt: now.toISOString(),
    actor: context.actor,
    action,
    resource: { type: resource, ...(draft.resourceId === undefined ? {} : { id: draft.resourceId }) },
    outcome: draft.outcome ?? 'success',
    ...(draft.reasonCode === undefined ? {} : { reasonCode: draft.reasonCode }),
    ...(draft.change === undefined ? {} : { change: recordable(draft.change) }),
    correlationId: context.correlationId,
    traceId: context.trace.traceId,
    spanId: context.trace.spanId,
    ...(context.ip === undefined ? {} : { ip: context.ip }),
    ...(context.userAgent === undefined ? {} : { userAgent: wellFormed(context.userAgent) }),
  };
  const parsed = ParsedAuditEvent.safeParse(event);
  if (parsed.success) return parsed.data;
  const paths = parsed.error.issues.slice(0, 5).map((issue) => issue.path.join('.'));
  throw new AppError('internal', { internal: { reason: 'the event breaks its schema', type: draft.type, paths } });
}

/** The bytes that are stored, published and hashed: RFC 8785, UTF-8, at most {@link entryBytesMax}. */
export function encodeEvent(event: AuditEvent): Buffer {
  const bytes = canonicalBytes(event);
  if (bytes.length <= entryBytesMax) return bytes;
  return canonicalBytes({ ...event, change: { after: digestOf(event.change ?? null) } });
}

function digestOf(change: unknown): { sha256: string; size: number } {
  const bytes = canonicalBytes(change);
  return { sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length };
}

function canonicalBytes(value: unknown): Buffer {
  const text = canonicalText(value);
  if (text === undefined) throw new AppError('internal', { internal: { reason: 'the event is not JSON' } });
  return Buffer.from(text, 'utf8');
}

/** The change as it is recorded; one that is nested deeper than the log takes is recorded by its digest. */
function recordable(change: unknown): unknown {
  const plain = plainJson(change);
  // The event around it is a level.
  return isDeeperThan(plain, eventDepthMax - 1) ? { after: digestOf(plain) } : plain;
}

/** What JSON makes of a value: dates as text, no undefined, well-formed strings. A credential in it is masked. */
function plainJson(value: unknown): unknown {
  const text = JSON.stringify(value, (key, field: unknown) => {
    if (isSensitiveKey(key) && (typeof field === 'string' || typeof field === 'object') && field !== null)
      return '[redacted]';
    return typeof field === 'string' ? maskText(wellFormed(field)) : field;
  });
  return JSON.parse(text);
}
