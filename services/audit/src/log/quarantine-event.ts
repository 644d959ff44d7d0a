import { hash } from 'node:crypto';
import type { AuditEvent } from '@prime-nest/contracts/events';
import { CorrelationId } from '@prime-nest/contracts/ids';
import { parseTraceparent } from '@prime-nest/contracts/trace';
import type { Rejection } from './entry.js';
import { ownEvent } from './own-event.js';

export interface Quarantined {
  readonly subject: string;
  readonly source: string;
  readonly headers: { readonly epoch: string; readonly sequence: string };
  readonly bytes: Uint8Array;
  readonly traceparent: string | undefined;
  readonly correlationId: string | undefined;
}

/**
 * The entry that stands in the log for a message that could not: where it came from, why, and the digest of its
 * bytes, which are kept in quarantine. It hangs in the trace and correlation of the message when that names them;
 * otherwise in a trace derived from its id, so that nothing here is left to chance.
 */
export function quarantineEvent({
  id,
  at,
  message,
  reason,
}: {
  id: string;
  at: Date;
  message: Quarantined;
  reason: Rejection;
}): AuditEvent {
  const digest = hash('sha256', message.bytes, 'hex');
  const correlationId = CorrelationId.safeParse(message.correlationId);
  const trace = parseTraceparent(message.traceparent);
  const { subject, source, headers } = message;
  const after = {
    ...shownOrigin({ subject, source, ...headers }),
    sha256: digest,
    size: message.bytes.length,
  };
  const event = ownEvent({ type: 'audit.event.quarantined.v1', id, at, after });
  return {
    ...event,
    resource: { ...event.resource, id: digest },
    outcome: 'failure',
    reasonCode: reason,
    ...(correlationId.success ? { correlationId: correlationId.data } : {}),
    ...(trace === undefined ? {} : { traceId: trace.traceId, spanId: trace.spanId }),
  };
}

/** Where a message came from, as the entry that stands for it says. */
export interface Origin {
  readonly subject: string;
  readonly source: string;
  readonly epoch: string;
  readonly sequence: string;
}

/** What is shown of an origin that is anybody's text. */
export function shownOrigin({ subject, source, epoch, sequence }: Origin): Origin {
  return {
    subject: printable(subject, 128),
    source: printable(source, 64),
    epoch: printable(epoch, 64),
    sequence: printable(sequence, 32),
  };
}

/** Header text is anybody's: cut, and printable ASCII only. */
function printable(text: string, lengthMax: number): string {
  return text.slice(0, lengthMax).replace(/[^\x20-\x7e]/g, '?');
}
