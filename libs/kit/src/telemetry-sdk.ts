import path from 'node:path';
import { getNodeAutoInstrumentations } from '@opentelemetry/auto-instrumentations-node';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { register } from 'import-in-the-middle/register-hooks.mjs';

const instrumented = ['pg', 'ioredis', 'undici'];

/**
 * Starts the OpenTelemetry SDK for traces only: OTLP over HTTP in batches, sampler, endpoint and limits from the
 * standard OTEL_* variables (parent-based by default). Only the client libraries whose spans explain a request are
 * patched, through synchronous loader hooks; each further instrumentation costs start-up time and every request.
 */
export function startSdk(): void {
  const env = process.env;
  env.OTEL_SERVICE_NAME ??= path.basename(path.resolve(process.argv[1] ?? 'service', '..', '..'));
  env.OTEL_NODE_ENABLED_INSTRUMENTATIONS ??= instrumented.join(',');
  // The process detector would export the command line.
  env.OTEL_NODE_RESOURCE_DETECTORS ??= 'env,host';
  register({ include: [...instrumented, 'pg-pool'] });
  new NodeSDK({
    traceExporter: new OTLPTraceExporter(),
    metricReaders: [],
    logRecordProcessors: [],
    instrumentations: [
      getNodeAutoInstrumentations({
        // Polling without a request above it would be one trace per poll.
        '@opentelemetry/instrumentation-pg': { requireParentSpan: true, ignoreConnectSpans: true },
        '@opentelemetry/instrumentation-ioredis': { requireParentSpan: true },
        '@opentelemetry/instrumentation-undici': { requireParentforSpans: true },
      }),
    ],
  }).start();
}
