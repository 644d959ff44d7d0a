import { mkdtempSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { spansOf } from './otlp.js';
import { startSpanReceiver } from './span-receiver.js';
import { openSpanStore, readSpans } from './span-store.js';
import type { KeptSpan } from './span-store.js';
import { drawTrace, treesOf } from './span-tree.js';
import { tracedByDefault } from './tracing.js';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const span = (spanId: string, more: Partial<KeptSpan> = {}): KeptSpan => ({
  traceId,
  spanId,
  name: spanId,
  kind: 'internal',
  service: 'gateway',
  startUs: 1_000_000,
  durationUs: 2_000,
  isError: false,
  attributes: {},
  ...more,
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'spans-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const exported = JSON.stringify({
  resourceSpans: [
    {
      resource: { attributes: [{ key: 'service.name', value: { stringValue: 'identity' } }] },
      scopeSpans: [
        {
          spans: [
            {
              traceId,
              spanId: 'b7ad6b7169203331',
              parentSpanId: '00f067aa0ba902b7',
              name: 'billing.invoice.pay.v1',
              kind: 2,
              startTimeUnixNano: '1700000000000001000',
              endTimeUnixNano: '1700000000000501000',
              attributes: [
                { key: 'rpc.status_code', value: { stringValue: 'ok' } },
                { key: 'n', value: { intValue: '7' } },
              ],
              status: { code: 2 },
            },
          ],
        },
      ],
    },
  ],
});

describe('an export', () => {
  test('is read with service, parent, kind, times and attributes', () => {
    expect(spansOf(exported)).toEqual([
      {
        traceId,
        spanId: 'b7ad6b7169203331',
        parentId: '00f067aa0ba902b7',
        name: 'billing.invoice.pay.v1',
        kind: 'server',
        service: 'identity',
        startUs: 1_700_000_000_000_001,
        durationUs: 500,
        isError: true,
        attributes: { 'rpc.status_code': 'ok', n: 7 },
      },
    ]);
  });

  test('that is received is found again by the beginning of its trace id; what is no export is refused or ignored', async () => {
    const receiver = await startSpanReceiver(await openSpanStore(folder));
    const send = (body: string, type = 'application/json', to = '/v1/traces') =>
      fetch(`${receiver.url}${to}`, { method: 'POST', headers: { 'content-type': type }, body });
    expect((await send(exported)).status).toBe(200);
    expect((await send('not json')).status).toBe(200);
    expect((await send('x', 'application/x-protobuf')).status).toBe(415);
    expect((await send('{}', 'application/json', '/v1/logs')).status).toBe(404);
    await receiver.close();
    expect(readSpans(folder, traceId.slice(0, 6)).map(({ name }) => name)).toEqual(['billing.invoice.pay.v1']);
    expect(readSpans(folder, 'ffff')).toEqual([]);
  });
});

describe('the store', () => {
  test('keeps the newest spans in bounded room, across restarts', async () => {
    const bytesMax = 20_000;
    for (let start = 0; start < 5; start++) {
      const store = await openSpanStore(folder, bytesMax);
      for (let i = 0; i < 100; i++) store.add([span(`${start}-${i}`)]);
    }
    const kept = readSpans(folder);
    expect(kept.at(-1)?.spanId).toBe('4-99');
    expect(kept.length).toBeGreaterThan(50);
    expect(kept.length).toBeLessThan(400);
    for (const file of ['spans.ndjson', 'spans.old.ndjson'])
      expect(statSync(path.join(folder, file)).size).toBeLessThanOrEqual(bytesMax);
  });
});

describe('a drawn trace', () => {
  const spans = [
    span('root', { name: 'POST /api/things', attributes: { 'http.response.status_code': 201 }, durationUs: 10_000 }),
    span('late', {
      parentId: 'root',
      name: 'second',
      startUs: 1_006_000,
      isError: true,
      attributes: { 'error.type': 'unavailable' },
    }),
    span('early', {
      parentId: 'root',
      name: 'first',
      startUs: 1_001_000,
      service: 'rbac',
      attributes: { 'decision.effect': 'allow' },
    }),
    span('deep', {
      parentId: 'early',
      name: 'SELECT thing',
      attributes: { 'db.query.text': 'SELECT 1 FROM thing' },
    }),
  ];

  test('has every span once, below its parent, in the order of time', () => {
    const [root, ...others] = treesOf(spans);
    expect(others).toEqual([]);
    expect(root?.children.map(({ span: { name } }) => name)).toEqual(['first', 'second']);
    expect(root?.children[0]?.children.map(({ span: { spanId } }) => spanId)).toEqual(['deep']);
  });

  test('shows service, duration, result and our own remarks', () => {
    const lines = drawTrace(spans, { colour: false });
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/\+0\.00 ms +10\.00 ms .* gateway {2}POST \/api\/things {2}201$/);
    expect(lines[1]).toMatch(/rbac +├─ first {2}decision\.effect=allow$/);
    expect(lines[2]).toContain('│  └─ SELECT thing');
    expect(lines[3]).toContain('└─ second  unavailable');
  });

  test('shows a span whose parent is missing instead of hiding it', () => {
    const lines = drawTrace([...spans, span('lost', { parentId: 'nowhere' })], { colour: false });
    expect(lines.filter((line) => line.includes('(below a span that is not kept) lost'))).toHaveLength(1);
  });
});

describe('tracing of the local system', () => {
  test('is on with a bounded number of traces, unless the environment says otherwise', () => {
    expect(tracedByDefault({})).toEqual({ OTEL_ENABLED: 'true', OTEL_TRACES_PER_SECOND_MAX: '20' });
    expect(tracedByDefault({ OTEL_ENABLED: 'false' })).toEqual({ OTEL_ENABLED: 'false' });
    expect(tracedByDefault({ OTEL_TRACES_SAMPLER: 'always_on' })).toEqual({
      OTEL_ENABLED: 'true',
      OTEL_TRACES_SAMPLER: 'always_on',
    });
  });
});
