import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { getNodeAutoInstrumentations } from '@opentelemetry/auto-instrumentations-node';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { ParentBasedSampler } from '@opentelemetry/sdk-trace';
import { register } from 'import-in-the-middle/register-hooks.mjs';
import { SafeExporter } from './telemetry-exporter.js';
import { TracesPerSecond } from './telemetry-sampler.js';

const instrumented = ['pg', 'ioredis'];

/**
 * Starts the OpenTelemetry SDK for traces only: OTLP over HTTP in batches; endpoint, sampler and limits from the
 * standard OTEL_* variables (parent-based by default), or at most OTEL_TRACES_PER_SECOND_MAX new traces a second. Only
 * the client libraries whose spans explain a request are patched, through synchronous loader hooks; each further
 * instrumentation costs start-up time and every request, and HTTP in particular is not: the server makes its own span.
 */
export function startSdk(): void {
  const env = process.env;
  // <package>/dist/main.js
  const folder = path.resolve(process.argv[1] ?? 'service', '..', '..');
  env.OTEL_SERVICE_NAME ??= path.basename(folder);
  env.OTEL_RESOURCE_ATTRIBUTES = resourceAttributes(folder, env);
  env.OTEL_NODE_ENABLED_INSTRUMENTATIONS ??= instrumented.join(',');
  // The process detector would export the command line.
  env.OTEL_NODE_RESOURCE_DETECTORS ??= 'env,host';
  // A statement of a page's length tells no more than its beginning.
  env.OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT ??= '2048';
  const perSecond = Number(env.OTEL_TRACES_PER_SECOND_MAX ?? 0);
  register({ include: [...instrumented, 'pg-pool'] });
  new NodeSDK({
    traceExporter: new SafeExporter(new OTLPTraceExporter({ timeoutMillis: 2_000 })),
    metricReaders: [],
    logRecordProcessors: [],
    ...(perSecond > 0 ? { sampler: new ParentBasedSampler({ root: new TracesPerSecond(perSecond) }) } : {}),
    instrumentations: [
      getNodeAutoInstrumentations({
        // Polling without a request above it would be one trace per poll.
        '@opentelemetry/instrumentation-pg': { requireParentSpan: true, ignoreConnectSpans: true },
        // Arguments are keys and values: addresses and ids of whoever made the request.
        '@opentelemetry/instrumentation-ioredis': { requireParentSpan: true, dbStatementSerializer: (name) => name },
      }),
    ],
  }).start();
}

/** What every span says about its process. The operator's own OTEL_RESOURCE_ATTRIBUTES come last and so win. */
function resourceAttributes(folder: string, env: NodeJS.ProcessEnv): string {
  const own = {
    'service.namespace': 'prime-nest',
    'service.version': versionOf(folder),
    'service.instance.id': randomUUID(),
    'deployment.environment.name': env.NODE_ENV ?? 'production',
  };
  const given = env.OTEL_RESOURCE_ATTRIBUTES ?? '';
  return [...Object.entries(own).map(([key, value]) => `${key}=${encodeURIComponent(value)}`), given]
    .filter((part) => part !== '')
    .join(',');
}

function versionOf(folder: string): string {
  try {
    const manifest = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as { version?: string };
    return manifest.version ?? 'unknown';
  } catch {
    // A program outside a package: a test fixture, a script.
    return 'unknown';
  }
}
