import type { KeptSpan, SpanKind } from './span-store.js';

/** The parts of an OTLP/JSON export (opentelemetry-proto, trace/v1) that are kept. */
interface Value {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: string | number;
  readonly doubleValue?: number;
}
interface Attribute {
  readonly key: string;
  readonly value?: Value;
}
interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind?: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: readonly Attribute[];
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly status?: { readonly code?: number };
}
interface OtlpExport {
  readonly resourceSpans?: readonly {
    readonly resource?: { readonly attributes?: readonly Attribute[] };
    readonly scopeSpans?: readonly { readonly spans?: readonly OtlpSpan[] }[];
  }[];
}

const kinds: readonly SpanKind[] = ['internal', 'internal', 'server', 'client', 'producer', 'consumer'];
const errorStatus = 2;

/** The spans of one export request. Throws when the body is not one. */
export function spansOf(body: string): KeptSpan[] {
  const { resourceSpans = [] } = JSON.parse(body) as OtlpExport;
  return resourceSpans.flatMap(({ resource, scopeSpans = [] }) => {
    const service = String(attributesOf(resource?.attributes)['service.name'] ?? 'unknown');
    return scopeSpans.flatMap(({ spans = [] }) => spans.map((span) => kept(span, service)));
  });
}

function kept(span: OtlpSpan, service: string): KeptSpan {
  const { traceId, spanId, parentSpanId, links = [] } = span;
  const start = BigInt(span.startTimeUnixNano);
  return {
    traceId,
    spanId,
    ...(parentSpanId === undefined || parentSpanId === '' ? {} : { parentId: parentSpanId }),
    name: span.name,
    kind: kinds[span.kind ?? 0] ?? 'internal',
    service,
    startUs: Number(start / 1000n),
    durationUs: Number((BigInt(span.endTimeUnixNano) - start) / 1000n),
    isError: span.status?.code === errorStatus,
    attributes: attributesOf(span.attributes),
    ...(links.length === 0 ? {} : { links: links.map((link) => ({ traceId: link.traceId, spanId: link.spanId })) }),
  };
}

function attributesOf(list: readonly Attribute[] = []): Record<string, string | number | boolean> {
  const entries = list.flatMap(({ key, value }): [string, string | number | boolean][] => {
    const plain = value?.stringValue ?? value?.boolValue ?? value?.doubleValue ?? integer(value?.intValue);
    return plain === undefined ? [] : [[key, plain]];
  });
  return Object.fromEntries(entries);
}

function integer(value: string | number | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}
