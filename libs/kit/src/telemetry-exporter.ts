import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { maskText } from './redact.js';
import { counter } from './telemetry-metrics.js';
import { attribute } from './telemetry-names.js';

type Attributes = ReadableSpan['attributes'];
/** What sdk-trace calls an exporter; its result type lives in a package that is not a dependency of ours. */
export interface Exporter {
  export(spans: ReadableSpan[], done: (result: { code: number; error?: Error }) => void): void;
  shutdown(): Promise<void>;
  forceFlush?(): Promise<void>;
}

const spansExported = counter({
  name: 'telemetry_spans_total',
  help: 'Spans handed to the collector, by whether it took them',
  labels: ['outcome'],
  known: [{ outcome: 'exported' }, { outcome: 'failed' }],
});

/**
 * Passes spans on without what libraries write into them unasked: messages and stacks of errors (a driver quotes the
 * value that was refused), and anything that looks like a credential. Counts what the collector took and what it did not.
 */
export class SafeExporter implements Exporter {
  readonly #inner: Exporter;

  constructor(inner: Exporter) {
    this.#inner = inner;
  }

  export(spans: ReadableSpan[], done: (result: { code: number; error?: Error }) => void): void {
    this.#inner.export(spans.map(safeSpan), (result) => {
      spansExported.inc({ outcome: result.code === 0 ? 'exported' : 'failed' }, spans.length);
      done(result);
    });
  }

  shutdown(): Promise<void> {
    return this.#inner.shutdown();
  }

  async forceFlush(): Promise<void> {
    await this.#inner.forceFlush?.();
  }
}

/** The status text of our own spans is an error code; anything longer is somebody's sentence. */
const errorCode = /^[a-z_]{1,64}$/;

export function safeSpan(span: ReadableSpan): ReadableSpan {
  const { status } = span;
  const message = status.message !== undefined && errorCode.test(status.message) ? { message: status.message } : {};
  const attributes = safeAttributes(span.attributes);
  const summary = querySummary(span.attributes[attribute.dbQueryText]);
  if (summary !== undefined) attributes[attribute.dbQuerySummary] = summary;
  return Object.create(span, {
    // Drivers' spans are all called the same; the conventions name them by what the statement does, and to what.
    name: { value: summary ?? span.name, enumerable: true },
    attributes: { value: attributes, enumerable: true },
    status: { value: { code: status.code, ...message }, enumerable: true },
    events: {
      value: span.events.map((event) => ({ ...event, attributes: safeAttributes(event.attributes ?? {}) })),
      enumerable: true,
    },
  }) as ReadableSpan;
}

const dropped = new Set(['exception.message', 'exception.stacktrace']);

function safeAttributes(attributes: Attributes): Attributes {
  const result: Attributes = {};
  for (const [key, value] of Object.entries(attributes)) {
    if (dropped.has(key)) continue;
    result[key] = typeof value === 'string' ? maskText(value) : value;
  }
  return result;
}

/** `SELECT invoice`: the first verb that touches a table, and that table; the statement's own first words without one. */
export function querySummary(statement: unknown): string | undefined {
  if (typeof statement !== 'string') return undefined;
  // `extract(epoch FROM now())` reads from no table.
  const text = statement.replaceAll(/\bextract\s*\(\s*\w+\s+FROM\b/gi, 'extract(');
  const write =
    /\b(INSERT)\s+INTO\s+"?([\w.]+)|\b(UPDATE)\s+"?([\w.]+)"?\s+(?:AS\s+\w+\s+|\w+\s+)?SET\b|\b(DELETE)\s+FROM\s+"?([\w.]+)/i;
  const found = write.exec(text) ?? /\b(SELECT)\b[\s\S]*?\bFROM\s+"?([a-z_][\w.]*)/i.exec(text);
  const [verb, target] = (found ?? []).slice(1).filter((part) => part !== undefined);
  if (verb !== undefined && target !== undefined) return `${verb.toUpperCase()} ${target}`;
  const words = /^\s*([a-z]+(?:\s+transaction)?)/i.exec(text)?.[1];
  return words?.toUpperCase().replaceAll(/\s+/g, ' ');
}
