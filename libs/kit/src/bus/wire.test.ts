import { describe, expect, test } from '@jest/globals';
import { headers } from '@nats-io/transport-node';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import fc from 'fast-check';
import { newId } from '../ids.js';
import { newTrace } from '../context.js';
import {
  decodeBody,
  decodeContext,
  decodeDeadline,
  depthMax,
  encodeBody,
  encodeContext,
  header,
  requestBytesMax,
} from './wire.js';
import { readHeaders } from './received.js';

const bytes = (text: string) => new TextEncoder().encode(text);
const refusal = (body: Uint8Array) => {
  try {
    decodeBody(body, requestBytesMax);
  } catch (error) {
    return error instanceof AppError ? error : undefined;
  }
  return undefined;
};

describe('a body', () => {
  test('survives the wire', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        fc.pre(!JSON.stringify(value).includes('__proto__'));
        expect(decodeBody(bytes(encodeBody(value)), requestBytesMax)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test('that is not well-formed, too large or too deep is refused, and the refusal quotes none of it', () => {
    const bodies = ['', ' ', '{', 'canary', '{"canary":}', '[1,]', '\u0000', '{"a":1}x', 'NaN', "{'a':1}"].map(bytes);
    bodies.push(
      new Uint8Array([0x22, 0xff, 0x22]),
      bytes('['.repeat(100_000)),
      bytes(`${'['.repeat(depthMax + 1)}${']'.repeat(depthMax + 1)}`),
    );
    bodies.push(bytes(`"${'x'.repeat(requestBytesMax)}"`));
    for (const body of bodies) {
      const error = refusal(body);
      expect(error?.code).toBe('validation_failed');
      expect(JSON.stringify([error?.details, error?.internal, error?.cause])).not.toContain('canary');
    }
  });

  test('at the very limit of depth is accepted, and brackets inside strings do not count', () => {
    expect(refusal(bytes(`${'['.repeat(depthMax)}${']'.repeat(depthMax)}`))).toBeUndefined();
    expect(refusal(bytes(JSON.stringify({ a: '[[['.repeat(100), b: '\\"[[{'.repeat(50) })))).toBeUndefined();
  });

  test('with the key __proto__ is refused however it is spelt', () => {
    for (const text of [
      '{"__proto__":{"isAdmin":true}}',
      '{"a":[{"__proto__":1}]}',
      '{"\\u005f_proto__":1}',
      '{"a":{"_\\u005Fproto__":{}}}',
    ]) {
      expect(refusal(bytes(text))?.code).toBe('validation_failed');
    }
    expect(refusal(bytes('{"a":"__proto__"}'))).toBeUndefined();
  });
});

describe('a context', () => {
  const full: CallContext = {
    correlationId: newId(),
    trace: { ...newTrace(), isSampled: true },
    actor: { type: 'user', id: newId(), sessionId: newId() },
    ip: '2001:db8::1',
    userAgent: 'Mozilla/5.0 (100% "real")',
  };

  test('survives the headers', () => {
    expect(decodeContext(readHeaders(encodeContext(full, 5)))).toEqual(full);
    expect(decodeDeadline(readHeaders(encodeContext(full, 5)))).toBe(5);
  });

  test('with any user agent at all can be sent, and cannot smuggle a header', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 600 }), (userAgent) => {
        const sent = encodeContext({ ...full, userAgent }, 1);
        expect([...sent.keys()]).toHaveLength(6);
        expect(sent.get(header.userAgent)).toMatch(/^[\x20-\x7e]*$/);
      }),
    );
    expect(decodeContext(readHeaders(encodeContext({ ...full, userAgent: 'é\r\nPn-Actor: x' }, 1))).userAgent).toBe(
      'é\r\nPn-Actor: x',
    );
  });

  test('is a fresh anonymous one when there are no headers, or only bad ones', () => {
    const bad = headers();
    bad.set(header.correlationId, 'a b');
    bad.set(header.traceparent, '00-zz');
    bad.set(header.actor, '{"type":"user"}');
    bad.set(header.ip, '999.1.1.1');
    bad.set(header.deadline, '-1');
    for (const received of [undefined, headers(), bad].map(readHeaders)) {
      const context = decodeContext(received);
      expect(context.actor).toEqual({ type: 'anonymous' });
      expect(context.correlationId).toMatch(/^[0-9a-f-]{36}$/);
      expect(context.trace.traceId).toMatch(/^(?!0+$)[0-9a-f]{32}$/);
      expect(context).not.toHaveProperty('ip');
      expect(decodeDeadline(received)).toBeUndefined();
    }
  });
});
