import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

const fixture = path.resolve(import.meta.dirname, '..', 'test-fixtures', 'traced.mjs');
const traceId = '0af7651916cd43dd8448eb211c80319c';

interface ExportedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
}
interface Export {
  readonly resourceSpans: {
    readonly resource: {
      readonly attributes: { readonly key: string; readonly value: { readonly stringValue?: string } }[];
    };
    readonly scopeSpans: { readonly spans: ExportedSpan[] }[];
  }[];
}

const received: ExportedSpan[] = [];
let resource: Record<string, string | undefined> = {};
const collector = createServer((request, response) => {
  let body = '';
  request.on('data', (chunk: Buffer) => (body += chunk.toString()));
  request.on('end', () => {
    const { resourceSpans } = JSON.parse(body) as Export;
    for (const { key, value } of resourceSpans[0]?.resource.attributes ?? []) resource[key] = value.stringValue;
    received.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)));
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
});

beforeAll(() => new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve)));
afterAll(() => new Promise((resolve) => collector.close(resolve)));

async function run(
  env: Record<string, string>,
): Promise<{ trace: { traceId: string; spanId: string }; loaded: number }> {
  const { port } = collector.address() as AddressInfo;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', './record-loads.mjs', '--import', '@prime-nest/kit/telemetry-register', fixture, traceId],
    {
      cwd: path.dirname(fixture),
      env: { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${String(port)}`, ...env },
    },
  );
  return JSON.parse(stdout) as Awaited<ReturnType<typeof run>>;
}

describe('tracing', () => {
  test('switched on exports our span, in the trace of the call, with the SQL below it', async () => {
    const { trace } = await run({ OTEL_ENABLED: 'true' });
    const span = received.find(({ name }) => name === 'work');
    expect(span).toMatchObject({ traceId, spanId: trace.spanId, parentSpanId: 'b7ad6b7169203331' });
    expect(received.find(({ name }) => name === 'SELECT')).toMatchObject({
      traceId,
      parentSpanId: trace.spanId,
    });
  });

  test('says which process a span is from, and the operator has the last word on it', async () => {
    resource = {};
    await run({ OTEL_ENABLED: 'true', NODE_ENV: 'test', OTEL_RESOURCE_ATTRIBUTES: 'service.version=9,zone=b' });
    expect(resource).toMatchObject({
      'service.namespace': 'prime-nest',
      'service.version': '9',
      'deployment.environment.name': 'test',
      zone: 'b',
    });
    expect(resource['service.name']).not.toBe('');
    expect(resource['service.instance.id']).toMatch(/^[0-9a-f-]{36}$/);
    expect(resource).not.toHaveProperty('process.command_args');
  });

  test('follows the sampling decision of whoever started the trace, and the standard variables for its own', async () => {
    const ownRatio = { OTEL_ENABLED: 'true', OTEL_TRACES_SAMPLER: 'parentbased_traceidratio' };
    received.length = 0;
    await run({ ...ownRatio, OTEL_TRACES_SAMPLER_ARG: '1', PARENT_SAMPLED: 'false' });
    await run({ OTEL_ENABLED: 'true', OTEL_TRACES_SAMPLER: 'always_off' });
    expect(received).toEqual([]);
    await run({ ...ownRatio, OTEL_TRACES_SAMPLER_ARG: '0' });
    expect(received.map(({ name }) => name)).toContain('work');
  });

  test('switched off loads no SDK and exports nothing, and the trace goes on all the same', async () => {
    received.length = 0;
    const { trace, loaded } = await run({ OTEL_ENABLED: 'false' });
    expect(trace.traceId).toBe(traceId);
    expect(trace.spanId).toMatch(/^(?!0+$)[0-9a-f]{16}$/);
    expect(received).toEqual([]);
    expect(loaded).toBe(0);
    // The control: with tracing on the same count is not zero.
    expect((await run({ OTEL_ENABLED: 'true' })).loaded).toBeGreaterThan(0);
  });

  test('with a collector that is away delays the stop by its limit at most', async () => {
    const { trace } = await run({ OTEL_ENABLED: 'true', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' });
    expect(trace.traceId).toBe(traceId);
  });
});
