/** Makes one span below the trace given as argument, with a query inside it, then stops; prints the span's position. */
import { inSpan, stopTelemetry } from '@prime-nest/kit/telemetry';
import pg from 'pg';

const parent = {
  traceId: process.argv[2],
  spanId: 'b7ad6b7169203331',
  isSampled: process.env.PARENT_SAMPLED !== 'false',
};
const trace = await inSpan('work', { kind: 'server', parent }, async (span) => {
  const client = new pg.Client({ connectionString: process.env.TESTKIT_POSTGRES_URL });
  await client.connect();
  await client.query('SELECT 1 AS one');
  await client.end();
  return span.trace;
});
await stopTelemetry();
const loaded = globalThis.loadedModules.filter((url) => /@opentelemetry\/(sdk|instrumentation)/.test(url));
process.stdout.write(JSON.stringify({ trace, loaded: loaded.length }));
// As a service does at its end: exports that are still being retried do not hold it.
process.exit(0);
