/**
 * Preload of every service: `node --import @prime-nest/kit/telemetry-register dist/main.js`. With OTEL_ENABLED unset or
 * false it loads nothing at all; with `true` it starts the OpenTelemetry SDK before the first application module loads.
 */
if (process.env.OTEL_ENABLED?.toLowerCase() === 'true') {
  const { startSdk } = await import('./telemetry-sdk.js');
  startSdk();
}

export {};
