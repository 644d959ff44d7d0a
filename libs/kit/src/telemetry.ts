import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  context as active,
  trace as otel,
} from '@opentelemetry/api';
import type { Attributes, Context, Link, Span as OtelSpan, SpanContext } from '@opentelemetry/api';
import type { TraceContext } from '@prime-nest/contracts/trace';
import { AppError, errorDefinition } from '@prime-nest/contracts/errors';
import { childTrace, currentContext, newTrace, runInContext } from './context.js';
import { attribute } from './telemetry-names.js';

const tracer = otel.getTracer('prime-nest');

const kinds = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const;

export interface SpanOptions {
  readonly kind?: keyof typeof kinds;
  readonly attributes?: Attributes;
  /**
   * Where the span hangs; by default below the current context, else below the active span, else a new trace.
   * `none` begins a new trace whatever is current.
   */
  readonly parent?: TraceContext | 'none';
  /** When it began, if that is over: for work that turned out to be worth a span only at its end. */
  readonly startedAt?: Date;
  /** Other positions this one has to do with; those of traces that nobody records are left out. */
  readonly links?: readonly TraceContext[];
}

export interface Span {
  /** Position of this span: give it to whatever happens below it. Valid with and without an SDK. */
  readonly trace: TraceContext;
  readonly isSampled: boolean;
  setAttribute(key: string, value: string | number | boolean): void;
  /** Points to another position, unless nobody records that trace. */
  link(trace: TraceContext): void;
  /** Marks the span as failed with the error's code or type; never with its message. */
  fail(error: unknown): void;
  end(): void;
  /** Runs `fn` with this span as the active one, so that instrumented libraries hang theirs below it. */
  run<T>(fn: () => T): T;
}

/**
 * Starts a span. With an SDK registered (see `telemetry-register`) it is recorded and exported as sampled; without
 * one, ids are made here by the W3C rules, so a trace id joins logs, calls and events in either case.
 */
export function startSpan(name: string, options: SpanOptions = {}): Span {
  const { kind = 'internal', attributes, parent, startedAt, links = [] } = options;
  const above = parent === 'none' ? undefined : (parent ?? currentContext()?.trace);
  if (isUnrecorded()) return new PlainSpan(above);
  const base = parent === 'none' ? ROOT_CONTEXT : above === undefined ? active.active() : remote(above);
  const span = tracer.startSpan(
    name,
    {
      kind: kinds[kind],
      ...(attributes === undefined ? {} : { attributes }),
      ...(startedAt === undefined ? {} : { startTime: startedAt }),
      ...(links.length === 0 ? {} : { links: links.filter(({ isSampled }) => isSampled).map(asLink) }),
    },
    base,
  );
  const trace = positionOf(span, above);
  // Nobody hears of it: a position is all that is left, unless spans below would else hang from an outer one.
  if (!span.isRecording() && otel.getActiveSpan() === undefined) return new PlainSpan(above, trace);
  const scope = otel.setSpan(base, span);
  return {
    trace,
    isSampled: trace.isSampled,
    setAttribute: (key, value) => {
      span.setAttribute(key, value);
    },
    link: (target) => {
      if (target.isSampled) span.addLink(asLink(target));
    },
    fail: (error) => {
      const code = error instanceof AppError ? error.code : 'internal';
      span.setAttribute(attribute.errorType, code);
      // The caller's mistake is not an error of ours (OTel HTTP and RPC conventions).
      if (errorDefinition(code).fault !== 'caller' || kind === 'client')
        span.setStatus({ code: SpanStatusCode.ERROR, message: code });
    },
    end: () => {
      span.end();
    },
    run: (fn) => active.with(scope, fn),
  };
}

/** A span that is not recorded is a position in a trace and nothing else; without an SDK, only for those who ask. */
class PlainSpan implements Span {
  readonly #above: TraceContext | undefined;
  #trace: TraceContext | undefined;

  constructor(above: TraceContext | undefined, trace?: TraceContext) {
    this.#above = above;
    this.#trace = trace;
  }
  get trace(): TraceContext {
    return (this.#trace ??= this.#above === undefined ? newTrace() : childTrace(this.#above));
  }
  get isSampled(): boolean {
    return (this.#trace ?? this.#above)?.isSampled ?? false;
  }
  setAttribute(): void {}
  link(): void {}
  fail(): void {}
  end(): void {}
  run<T>(fn: () => T): T {
    return fn();
  }
}

/** Whether no SDK is registered: the API then makes spans that go nowhere. */
function isUnrecorded(): boolean {
  const provider: unknown = otel.getTracerProvider();
  const delegate: unknown = hasDelegate(provider) ? provider.getDelegate() : provider;
  return typeof delegate === 'object' && delegate !== null && delegate.constructor.name === 'NoopTracerProvider';
}

/** Runs `fn` inside a span: current for logs and for calls made below it, failed when `fn` throws, ended either way. */
export async function inSpan<T>(name: string, options: SpanOptions, fn: (span: Span) => Promise<T>): Promise<T> {
  const span = startSpan(name, options);
  const outer = currentContext();
  try {
    return await span.run(() =>
      outer === undefined ? fn(span) : runInContext({ ...outer, trace: span.trace }, () => fn(span)),
    );
  } catch (error) {
    span.fail(error);
    throw error;
  } finally {
    span.end();
  }
}

/** Sends what is still buffered and stops the SDK, if one runs; gives up silently after `timeoutMs`. */
export async function stopTelemetry(timeoutMs = 2_000): Promise<void> {
  const provider: unknown = otel.getTracerProvider();
  const delegate: unknown = hasDelegate(provider) ? provider.getDelegate() : provider;
  if (!canShutDown(delegate)) return;
  const timer = new Promise<void>((resolve) => {
    setTimeout(resolve, timeoutMs).unref();
  });
  // A collector that is away must not turn a clean stop into a failure.
  await Promise.race([delegate.shutdown().catch(() => undefined), timer]);
}

/** Adds to the span that is active here: the one of the call being served, or of the innermost {@link inSpan}. */
export function annotate(attributes: Attributes): void {
  otel.getActiveSpan()?.setAttributes(attributes);
}

/** Whether the span that is active here is recorded: attributes that cost something to find are worth it only then. */
export function isRecorded(): boolean {
  return otel.getActiveSpan()?.isRecording() ?? false;
}

function remote(trace: TraceContext): Context {
  return otel.setSpanContext(ROOT_CONTEXT, asSpanContext(trace));
}

function asSpanContext({ traceId, spanId, isSampled }: TraceContext): SpanContext {
  return { traceId, spanId, traceFlags: isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE, isRemote: true };
}

function asLink(trace: TraceContext): Link {
  return { context: asSpanContext(trace) };
}

/** Without an SDK the API answers the parent's own position, or an all-zero one: then the ids are ours to make. */
function positionOf(span: OtelSpan, parent: TraceContext | undefined): TraceContext {
  const { traceId, spanId, traceFlags } = span.spanContext();
  if (otel.isSpanContextValid(span.spanContext()) && spanId !== parent?.spanId) {
    return { traceId, spanId, isSampled: (traceFlags & TraceFlags.SAMPLED) !== 0 };
  }
  return parent === undefined ? newTrace() : childTrace(parent);
}

function hasDelegate(value: unknown): value is { getDelegate(): unknown } {
  return (
    typeof value === 'object' && value !== null && 'getDelegate' in value && typeof value.getDelegate === 'function'
  );
}

function canShutDown(value: unknown): value is { shutdown(): Promise<void> } {
  return typeof value === 'object' && value !== null && 'shutdown' in value && typeof value.shutdown === 'function';
}
