import { isMainThread } from 'node:worker_threads';

/**
 * Preload of every service: `node --import @prime-nest/kit/telemetry-register dist/main.js`. With OTEL_ENABLED unset or
 * false it loads nothing at all; with `true` it starts the OpenTelemetry SDK before the first application module loads.
 * Worker threads inherit the preload and have nothing to trace.
 */
if (isMainThread && process.env.OTEL_ENABLED?.toLowerCase() === 'true') {
  const { startSdk } = await import('./telemetry-sdk.js');
  startSdk();
}
