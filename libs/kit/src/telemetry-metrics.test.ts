import { describe, expect, test } from '@jest/globals';
import { counter, gauge, histogram, observed, renderMetrics, startMetrics } from './telemetry-metrics.js';

const linesOf = async (name: string) => {
  const { body } = await renderMetrics();
  return body.split('\n').filter((line) => line.startsWith(name));
};

describe('a metric', () => {
  test('without a unit in its name, or with a label that counts individuals, is refused when it is made', () => {
    expect(() => counter({ name: 'things', help: 'x' })).toThrow('names no unit');
    expect(() => gauge({ name: 'thing_age', help: 'x' })).toThrow('names no unit');
    for (const label of ['id', 'thing_id', 'ip_address', 'host_name']) {
      expect(() => histogram({ name: 'thing_wait_seconds', help: 'x', labels: [label] })).toThrow('individuals');
    }
  });

  test('is exported with its kind, help, service and value', async () => {
    startMetrics('test');
    const made = counter({ name: 'test_things_total', help: 'Things', labels: ['kind'], known: [{ kind: 'b' }] });
    made.inc({ kind: 'a' }, 2);
    expect((await renderMetrics()).body).toContain('# TYPE test_things_total counter');
    expect(await linesOf('test_things_total')).toEqual([
      'test_things_total{kind="b",service="test"} 0',
      'test_things_total{kind="a",service="test"} 2',
    ]);
  });

  test('that is read on demand shows nothing rather than an old value when it cannot be read', async () => {
    const lag = observed({ name: 'test_lag_seconds', help: 'Lag' });
    expect(await linesOf('test_lag_seconds')).toEqual([]);
    lag.from(() => Promise.resolve(3));
    expect(await linesOf('test_lag_seconds')).toEqual(['test_lag_seconds{service="test"} 3']);
    lag.from(() => Promise.reject(new Error('away')));
    expect(await linesOf('test_lag_seconds')).toEqual([]);
    lag.from(() => new Promise(() => undefined));
    expect(await linesOf('test_lag_seconds')).toEqual([]);
  });

  test('of the process itself is there: event-loop delay, memory, CPU', async () => {
    startMetrics('test');
    const { body } = await renderMetrics();
    for (const name of [
      'nodejs_eventloop_lag_p99_seconds',
      'process_resident_memory_bytes',
      'process_cpu_seconds_total',
    ])
      expect(body).toContain(`# TYPE ${name} `);
  });
});
