import { describe, expect, test } from '@jest/globals';
import * as semconv from '@opentelemetry/semantic-conventions';
import * as incubating from '@opentelemetry/semantic-conventions/incubating';
import { attribute, httpMethodName, httpSpanName, messageAttributes, safePath } from './telemetry-names.js';

describe('the names in spans', () => {
  test('are names of the OpenTelemetry conventions, all of them', () => {
    const known = new Set<unknown>([...Object.values(semconv), ...Object.values(incubating)]);
    expect(Object.values(attribute).filter((name) => !known.has(name))).toEqual([]);
  });

  test('say what is done to a message, and where', () => {
    expect(messageAttributes({ operation: 'publish', subject: 'evt.a.b.v1', messageId: 'x', bodyBytes: 7 })).toEqual({
      'messaging.system': 'nats',
      'messaging.operation.name': 'publish',
      'messaging.operation.type': 'send',
      'messaging.destination.name': 'evt.a.b.v1',
      'messaging.message.id': 'x',
      'messaging.message.body.size': 7,
    });
  });

  test('are few, whatever methods and addresses strangers invent', () => {
    expect(httpSpanName('GET', '/api/things/:id')).toBe('GET /api/things/:id');
    expect(httpSpanName('GET', undefined)).toBe('GET');
    expect(httpSpanName('BREW-41', undefined)).toBe('HTTP');
    expect(httpMethodName('BREW-41')).toBe('_OTHER');
  });
});

describe('a path in a span', () => {
  test('keeps the words of the route, numbers and UUIDs, and nothing else', () => {
    const id = '0190a6e2-5b7c-7c3d-9c1a-0123456789ab';
    expect(safePath(`/api/things/${id}?q=secret#x`, '/api/things/:id')).toBe(`/api/things/${id}`);
    expect(safePath('/api/things/ann@example.com/42', '/api/things/:name/:n')).toBe('/api/things/REDACTED/42');
    expect(safePath('/a-stranger/eyJhbGciOi.eyJz.sig', undefined)).toBe('/REDACTED/REDACTED');
    expect(safePath('/'.repeat(10_000), undefined).length).toBeLessThan(100);
  });
});
