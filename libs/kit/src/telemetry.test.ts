import { describe, expect, test } from '@jest/globals';
import { currentContext, runInContext, serviceContext } from './context.js';
import { inSpan, startSpan } from './telemetry.js';

describe('a span without an SDK', () => {
  test('has valid ids of its own, in the trace of its parent', () => {
    const root = startSpan('root');
    const child = startSpan('child', { parent: root.trace });
    expect(root.trace.traceId).toMatch(/^(?!0+$)[0-9a-f]{32}$/);
    expect(child.trace.traceId).toBe(root.trace.traceId);
    expect(child.trace.spanId).not.toBe(root.trace.spanId);
    expect(child.trace.spanId).toMatch(/^(?!0+$)[0-9a-f]{16}$/);
  });

  test('hangs below the current context and becomes the position of everything inside it', async () => {
    const outer = serviceContext('test');
    await runInContext(outer, () =>
      inSpan('work', {}, (span) => {
        expect(span.trace.traceId).toBe(outer.trace.traceId);
        expect(currentContext()).toEqual({ ...outer, trace: span.trace });
        return Promise.resolve();
      }),
    );
  });

  test('passes on what its work throws', async () => {
    await expect(inSpan('work', {}, () => Promise.reject(new RangeError('x')))).rejects.toThrow(RangeError);
  });
});
