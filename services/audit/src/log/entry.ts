import { hash } from 'node:crypto';
import { ParsedAuditEvent, eventDepthMax, eventSource, eventSubject, isDeeperThan } from '@prime-nest/contracts/events';
import type { AuditEvent } from '@prime-nest/contracts/events';
import { canonicalText, isCanonical } from '@prime-nest/kit/canonical-json';

/** Most bytes of an entry: C2SP tlog-tiles writes an entry's length in 16 bits. */
export const entryBytesMax = 60_000;

/** Why a message is kept in quarantine and its event is not in the log. */
export type Rejection =
  | 'oversize'
  | 'not_json'
  | 'not_canonical'
  | 'wrong_schema'
  | 'too_deep'
  | 'wrong_subject'
  | 'wrong_source'
  | 'no_sequence'
  | 'equivocation'
  | 'id_reused'
  | 'epoch_abandoned'
  | 'unstorable';

/** A message as it came from the stream, with the headers that place it in its source's sequence. */
export interface Arrival {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly source: string;
  readonly epoch: string;
  readonly sequence: string;
}

export type Reading = { readonly event: AuditEvent } | { readonly rejection: Rejection };

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads an event whose bytes are fit to be an entry: RFC 8785 form, the event schema, on the subject of its type and
 * from the source that may publish there. Anything else is a {@link Rejection}; no input makes it throw.
 */
export function readEvent({ subject, data }: Pick<Arrival, 'subject' | 'data'>): Reading {
  if (data.length > entryBytesMax) return { rejection: 'oversize' };
  let text: string;
  let value: unknown;
  try {
    text = utf8.decode(data);
    value = JSON.parse(text);
  } catch {
    return { rejection: 'not_json' };
  }
  if (isDeeperThan(value, eventDepthMax)) return { rejection: 'too_deep' };
  if (!isCanonical(text, value)) return { rejection: 'not_canonical' };
  const parsed = ParsedAuditEvent.safeParse(value);
  if (!parsed.success) return { rejection: 'wrong_schema' };
  const event = parsed.data;
  if (subject !== eventSubject(event.type)) return { rejection: 'wrong_subject' };
  if (event.source !== eventSource(event.type)) return { rejection: 'wrong_source' };
  return { event };
}

/** The bytes of an entry that the log itself writes: RFC 8785, UTF-8. */
export function entryBytes(event: AuditEvent): Buffer {
  const text = canonicalText(event);
  if (text === undefined) throw new RangeError('the event has no canonical form');
  return Buffer.from(text, 'utf8');
}

/** The source that the bus let publish on this subject: permissions tie the second token to the service. */
export function subjectSource(subject: string): string {
  return subject.split('.', 2)[1] ?? '';
}

/** Same message, same fingerprint: a redelivery or a second publish of a rejected message is recognised by it. */
export function fingerprint({ subject, data, source, epoch, sequence }: Arrival): Buffer {
  const head = Buffer.from(`${JSON.stringify([subject, source, epoch, sequence])}\n`, 'utf8');
  return hash('sha256', Buffer.concat([head, data]), 'buffer');
}
