import { describe, expect, test } from '@jest/globals';
import { InMemorySpanExporter, SamplingDecision, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import type { SpanExporter } from '@opentelemetry/sdk-trace';
import { SafeExporter, querySummary } from './telemetry-exporter.js';
import { TracesPerSecond } from './telemetry-sampler.js';

describe('a span on its way out', () => {
  test('loses the messages of errors and every credential, and keeps the rest', async () => {
    const kept = new InMemorySpanExporter();
    const exporter = new SafeExporter(kept) as unknown as SpanExporter;
    const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
    const span = provider.getTracer('test').startSpan('pg.query');
    const canary = 'canary-55ee';
    span.setAttribute('url', `postgres://someone:${canary}@host/db`);
    span.setAttribute('harmless', 'kept');
    span.recordException(Object.assign(new Error(`invalid input syntax: ${canary}`), { name: 'DatabaseError' }));
    span.setStatus({ code: 2, message: `Key (email)=(${canary}) exists` });
    span.end();
    await provider.forceFlush();

    const [exported] = kept.getFinishedSpans();
    expect(exported?.name).toBe('pg.query');
    expect(exported?.attributes['harmless']).toBe('kept');
    expect(exported?.events[0]?.attributes).toEqual({ 'exception.type': 'DatabaseError' });
    expect(exported?.status).toEqual({ code: 2 });
    expect(JSON.stringify([exported?.attributes, exported?.events, exported?.status])).not.toContain(canary);
  });

  test('keeps the error code that we gave it ourselves', async () => {
    const kept = new InMemorySpanExporter();
    const exporter = new SafeExporter(kept) as unknown as SpanExporter;
    const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
    const span = provider.getTracer('test').startSpan('call');
    span.setStatus({ code: 2, message: 'unavailable' });
    span.end();
    await provider.forceFlush();
    expect(kept.getFinishedSpans()[0]?.status).toEqual({ code: 2, message: 'unavailable' });
  });
});

describe('traces per second', () => {
  test('are never more than allowed, whatever comes, and never none after a quiet second', () => {
    let now = 0;
    const sampler = new TracesPerSecond(5, () => now);
    const taken = (count: number) =>
      Array.from({ length: count }, () => sampler.shouldSample().decision).filter(
        (decision) => decision === SamplingDecision.RECORD_AND_SAMPLED,
      ).length;
    expect(taken(1_000)).toBe(5);
    now += 200;
    expect(taken(1_000)).toBe(1);
    now += 60_000;
    expect(taken(1_000)).toBe(5);
  });
});

describe('the summary of a statement', () => {
  test('names what it does, and to which table', () => {
    const cases: [string, string][] = [
      ['SELECT id, name FROM thing WHERE id = $1', 'SELECT thing'],
      ['INSERT INTO "thing" (id) VALUES ($1)', 'INSERT thing'],
      ['WITH input AS (SELECT $1::int AS n) INSERT INTO lane AS l (n) SELECT n FROM input', 'INSERT lane'],
      ['UPDATE thing SET name = $2 WHERE id = $1', 'UPDATE thing'],
      ['SELECT a FROM thing FOR UPDATE', 'SELECT thing'],
      ['DELETE FROM thing', 'DELETE thing'],
      ['START  TRANSACTION ISOLATION LEVEL SERIALIZABLE', 'START TRANSACTION'],
      ['COMMIT', 'COMMIT'],
      ['SELECT 1', 'SELECT'],
      ['SELECT revision, extract(epoch FROM clock_timestamp()) AS now FROM state', 'SELECT state'],
      ['SELECT extract(epoch FROM clock_timestamp())', 'SELECT'],
      ["SELECT set_config('x', $1, true)", 'SELECT'],
    ];
    for (const [text, summary] of cases) expect(querySummary(text)).toBe(summary);
    expect(querySummary(undefined)).toBeUndefined();
  });
});
