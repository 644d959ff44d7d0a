import { isAscii } from 'node:buffer';
import { headers as natsHeaders } from '@nats-io/transport-node';
import type { Msg, MsgHdrs } from '@nats-io/transport-node';
import { Actor, CallContext } from '@prime-nest/contracts/context';
import { AppError, errorDefinition } from '@prime-nest/contracts/errors';
import type { PublicDetails, Violation } from '@prime-nest/contracts/errors';
import { isCorrelationId } from '@prime-nest/contracts/ids';
import { formatTraceparent, parseTraceparent } from '@prime-nest/contracts/trace';
import type { TraceContext } from '@prime-nest/contracts/trace';
import { newTrace } from '../context.js';
import { newId } from '../ids.js';
import { wellFormed } from '../redact.js';
import type { ReceivedHeaders } from './received.js';

/**
 * The only file that knows the bytes. A body is plain JSON, so any NATS client can call a service:
 * `nats request billing.invoice.get.v1 '{"id":"…"}'`. Context travels in headers; without them a call is anonymous and
 * starts a new trace.
 */
export const header = {
  correlationId: 'X-Correlation-Id',
  traceparent: 'traceparent',
  actor: 'Pn-Actor',
  ip: 'Pn-Ip',
  userAgent: 'Pn-User-Agent',
  deadline: 'Pn-Deadline',
  errorCode: 'Nats-Service-Error-Code',
  errorTitle: 'Nats-Service-Error',
} as const;

export const requestBytesMax = 256 * 1024;
export const replyBytesMax = 1_000_000;
export const depthMax = 32;

const utf8 = new TextDecoder('utf-8', { fatal: true });

export function encodeBody(value: unknown): string {
  return JSON.stringify(value) ?? 'null';
}

/**
 * Parses a body. Throws `validation_failed` for anything that is too large, too deep, not UTF-8, not JSON, or that
 * holds the key `__proto__`; size and depth are known before a byte is parsed. No part of the body is in the error.
 */
export function decodeBody(bytes: Uint8Array, bytesMax: number): unknown {
  if (bytes.length > bytesMax) throw refused(`must not be larger than ${String(bytesMax)} bytes`);
  if (isTooDeep(bytes)) throw refused(`must not be nested deeper than ${String(depthMax)} levels`);
  let text: string;
  let value: unknown;
  try {
    text = isAscii(bytes)
      ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
      : utf8.decode(bytes);
    value = JSON.parse(text);
  } catch {
    // The parser's own message quotes the body, so it is not kept as the cause.
    throw refused('must be well-formed JSON');
  }
  if ((text.includes('__proto__') || text.includes('\\u')) && hasProtoKey(value))
    throw refused('must not contain the key __proto__');
  return value;
}

function refused(message: string): AppError {
  return new AppError('validation_failed', { details: { violations: [{ pointer: '', message }] } });
}

function isTooDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  let isInString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (isInString) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) isInString = false;
    } else if (byte === 0x22) isInString = true;
    else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > depthMax) return true;
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return false;
}

function hasProtoKey(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (Object.hasOwn(value, '__proto__')) return true;
  return Object.values(value).some(hasProtoKey);
}

/** The headers of a call: context and the instant (epoch milliseconds) after which nobody waits for the answer. */
export function encodeContext(context: CallContext, deadline: number): MsgHdrs {
  const result = natsHeaders();
  result.set(header.correlationId, context.correlationId);
  result.set(header.traceparent, formatTraceparent(context.trace));
  result.set(header.actor, JSON.stringify(context.actor));
  if (context.ip !== undefined) result.set(header.ip, context.ip);
  if (context.userAgent !== undefined) result.set(header.userAgent, encodeText(context.userAgent));
  result.set(header.deadline, String(deadline));
  return result;
}

/** The context of a received call. A header that is missing or malformed counts as absent: least privilege, new trace. */
export function decodeContext(received: ReceivedHeaders, trace = decodeTrace(received)): CallContext {
  const correlationId = received.get(header.correlationId);
  const ip = decodeIp(received.get(header.ip) ?? '');
  const userAgent = decodeText(received.get(header.userAgent) ?? '');
  return {
    correlationId: isCorrelationId(correlationId) ? correlationId : newId(),
    trace: trace ?? newTrace(),
    actor: decodeActor(received.get(header.actor) ?? ''),
    ...(ip === undefined ? {} : { ip }),
    ...(userAgent === '' ? {} : { userAgent }),
  };
}

/** The caller's position in its trace, or undefined when it gave none or a malformed one. */
export function decodeTrace(received: ReceivedHeaders): TraceContext | undefined {
  return parseTraceparent(received.get(header.traceparent));
}

/** Epoch milliseconds, or undefined when the caller gave none. */
export function decodeDeadline(received: ReceivedHeaders): number | undefined {
  const text = received.get(header.deadline) ?? '';
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

const actorLengthMax = 1_024;
/** The same few callers come again and again. The header is all that the result depends on. */
const actors = new Map<string, Actor>();
const ips = new Map<string, string | undefined>();
const rememberedMax = 2_000;

function decodeActor(text: string): Actor {
  if (text === '' || text.length > actorLengthMax) return { type: 'anonymous' };
  return remembered(actors, text, () => {
    try {
      const actor = Actor.safeParse(JSON.parse(text));
      if (actor.success) return Object.freeze(actor.data);
    } catch {
      // Not JSON: nobody in particular.
    }
    return { type: 'anonymous' };
  });
}

function decodeIp(text: string): string | undefined {
  if (text === '' || text.length > 64) return undefined;
  return remembered(ips, text, () => CallContext.shape.ip.safeParse(text).data);
}

function remembered<V>(known: Map<string, V>, text: string, read: () => V): V {
  if (known.has(text)) return known.get(text) as V;
  const value = read();
  if (known.size >= rememberedMax) known.clear();
  known.set(text, value);
  return value;
}

const userAgentLengthMax = 512;

/** Header values are one line of printable ASCII; everything else is percent-encoded. */
function encodeText(text: string): string {
  return wellFormed(text.slice(0, userAgentLengthMax)).replace(/[^\x20-\x24\x26-\x7e]/gu, encodeURIComponent);
}

function decodeText(text: string): string {
  try {
    return decodeURIComponent(text).slice(0, userAgentLengthMax);
  } catch {
    return text.slice(0, userAgentLengthMax);
  }
}

/** An error reply: code and title in headers, public details in the body. Nothing internal leaves the process. */
export function encodeError(error: AppError): { body: string; headers: MsgHdrs } {
  const result = natsHeaders();
  result.set(header.errorCode, error.code);
  result.set(header.errorTitle, errorDefinition(error.code).title);
  return { body: encodeBody({ code: error.code, details: error.details }), headers: result };
}

/** The code and details of an error reply, unchecked, or undefined for a good one. */
export function decodeError(message: Msg): { code: string; details: PublicDetails } | undefined {
  const code = message.headers?.get(header.errorCode) ?? '';
  if (code === '') return undefined;
  let details: PublicDetails = {};
  try {
    const body = decodeBody(message.data, replyBytesMax);
    const answered: unknown = typeof body === 'object' && body !== null && 'details' in body ? body.details : undefined;
    if (typeof answered === 'object' && answered !== null) details = answered;
  } catch {
    // The code is what counts; details are a courtesy.
  }
  return { code, details };
}

interface Issue {
  readonly path?: readonly PropertyKey[];
  readonly message: string;
  readonly code?: string;
  readonly keys?: readonly string[];
}

/** Schema issues as JSON Pointers with a sentence each; values are never part of them. At most 20. */
export function violationsOf(issues: readonly Issue[]): Violation[] {
  return issues.slice(0, 20).flatMap((issue) => {
    const path = (issue.path ?? []).map((part) => String(part));
    if (issue.code === 'unrecognized_keys' && issue.keys !== undefined) {
      return issue.keys
        .slice(0, 20)
        .map((name) => ({ pointer: pointer([...path, name]), message: 'is not a known field' }));
    }
    return [{ pointer: pointer(path), message: issue.message }];
  });
}

function pointer(path: readonly string[]): string {
  return path.map((part) => `/${part.slice(0, 64).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
