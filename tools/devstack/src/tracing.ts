import path from 'node:path';
import type { Env } from './folders.js';
import { startJaeger } from './jaeger.js';
import type { Jaeger } from './jaeger.js';
import { startSpanReceiver } from './span-receiver.js';
import { openSpanStore } from './span-store.js';

export interface Tracing {
  /** Added to the environment of every service. */
  readonly env: Env;
  /** Where spans are kept; undefined when they go elsewhere or are not made at all. */
  readonly spansFolder?: string;
  readonly jaeger?: Jaeger;
  stop(): Promise<void>;
}

/** New traces a second that `npm start` records: all that a person makes, and few of what a load test makes. */
const perSecondMax = 20;

/** What `npm start` sets unless told otherwise: tracing is on, and a load test is not slowed down by it. */
export function tracedByDefault(env: Env): Env {
  if (env['OTEL_ENABLED'] !== undefined && env['OTEL_ENABLED'] !== '') return env;
  const isSampled = env['OTEL_TRACES_SAMPLER'] ?? env['OTEL_TRACES_PER_SECOND_MAX'];
  return {
    ...env,
    OTEL_ENABLED: 'true',
    ...(isSampled === undefined ? { OTEL_TRACES_PER_SECOND_MAX: String(perSecondMax) } : {}),
  };
}

export const spansFolderOf = (home: string): string => path.join(home, 'spans');

/**
 * With tracing on, a receiver for the spans of this system, which keeps the newest and passes all on to a Jaeger when
 * one is there. An OTEL_EXPORTER_OTLP_ENDPOINT of the environment is used as it is, and nothing is kept here.
 */
export async function startTracing(home: string, env: Env): Promise<Tracing> {
  const isOn = env['OTEL_ENABLED']?.toLowerCase() === 'true';
  const elsewhere = env['OTEL_EXPORTER_OTLP_ENDPOINT'] ?? env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'];
  if (!isOn || elsewhere !== undefined) return { env: {}, stop: () => Promise.resolve() };
  const spansFolder = spansFolderOf(home);
  const store = await openSpanStore(spansFolder);
  const jaeger = await startJaeger(env, spansFolder);
  const receiver = await startSpanReceiver(store, jaeger?.otlpUrl);
  return {
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      // A person asks for a trace seconds after the request, not when a batch is full.
      OTEL_BSP_SCHEDULE_DELAY: env['OTEL_BSP_SCHEDULE_DELAY'] ?? '500',
      ...(jaeger === undefined || env['TRACE_URL_TEMPLATE'] !== undefined
        ? {}
        : { TRACE_URL_TEMPLATE: `${jaeger.uiUrl}/trace/{traceId}` }),
    },
    spansFolder,
    ...(jaeger === undefined ? {} : { jaeger }),
    stop: async () => {
      await receiver.close();
      await jaeger?.stop();
    },
  };
}
