import type { KeptSpan } from './span-store.js';

export interface SpanNode {
  readonly span: KeptSpan;
  /** By time of their beginning. */
  readonly children: readonly SpanNode[];
}

/** The spans of one trace as trees: one when it is complete; a span whose parent is not there begins a tree of its own. */
export function treesOf(spans: readonly KeptSpan[]): SpanNode[] {
  const known = new Map(spans.map((span) => [span.spanId, span]));
  const childrenOf = new Map<string | undefined, KeptSpan[]>();
  for (const span of known.values()) {
    const parent = span.parentId !== undefined && known.has(span.parentId) ? span.parentId : undefined;
    childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), span]);
  }
  const build = (parent: string | undefined): SpanNode[] =>
    (childrenOf.get(parent) ?? [])
      .toSorted((a, b) => a.startUs - b.startUs)
      .map((span) => ({ span, children: build(span.spanId) }));
  return build(undefined);
}

export interface DrawOptions {
  readonly colour: boolean;
  readonly width?: number;
}

const barWidth = 24;

/** A trace as lines: when each span began, how long it took, whose it is, and how it ended. */
export function drawTrace(spans: readonly KeptSpan[], { colour, width = 140 }: DrawOptions): string[] {
  const trees = treesOf(spans);
  const startUs = Math.min(...spans.map((span) => span.startUs));
  const endUs = Math.max(...spans.map((span) => span.startUs + span.durationUs));
  const serviceWidth = Math.max(...spans.map(({ service }) => service.length));
  const paint = painter(colour);
  const line = (span: KeptSpan, branch: string): string => {
    const at = `+${milliseconds(span.startUs - startUs)}`.padStart(10);
    const took = milliseconds(span.durationUs).padStart(10);
    const bar = barOf(span, startUs, Math.max(1, endUs - startUs));
    const text = `${at} ${took}  ${bar}  ${span.service.padEnd(serviceWidth)}  ${branch}${labelOf(span)}`;
    const cut = text.length > width ? `${text.slice(0, width - 1)}…` : text;
    return span.isError ? paint.red(cut) : cut;
  };
  const walk = (nodes: readonly SpanNode[], indent: string, isTop: boolean): string[] =>
    nodes.flatMap(({ span, children }, index) => {
      const isLast = index === nodes.length - 1;
      const branch = isTop ? '' : `${indent}${isLast ? '└─ ' : '├─ '}`;
      const below = isTop ? '' : `${indent}${isLast ? '   ' : '│  '}`;
      const orphan = isTop && span.parentId !== undefined ? '(below a span that is not kept) ' : '';
      return [line(span, branch + orphan), ...walk(children, below, false)];
    });
  return walk(trees, '', true);
}

/** What a person wants first: the name, the result, and our own remarks; not what the conventions demand. */
function labelOf({ name, kind, attributes, isError }: KeptSpan): string {
  const side = kind === 'client' && attributes['rpc.method'] !== undefined ? ' (call)' : '';
  const result = attributes['http.response.status_code'] ?? attributes['rpc.status_code'];
  const failure = attributes['error.type'];
  const remarks = Object.entries(attributes)
    .filter(([key]) => !conventional.test(key))
    .map(([key, value]) => `${key}=${String(value)}`);
  return [
    `${name}${side}`,
    ...(result === undefined ? [] : [String(result)]),
    ...(failure !== undefined && failure !== result
      ? [String(failure)]
      : isError && failure === undefined
        ? ['error']
        : []),
    ...remarks,
  ].join('  ');
}

const conventional = /^(http|rpc|messaging|db|server|client|net|network|url|error|event|user_agent|otel|code|thread)\./;

function barOf(span: KeptSpan, startUs: number, totalUs: number): string {
  const from = Math.min(barWidth - 1, Math.floor(((span.startUs - startUs) / totalUs) * barWidth));
  const length = Math.max(1, Math.round((span.durationUs / totalUs) * barWidth));
  return `${'·'.repeat(from)}${'━'.repeat(Math.min(length, barWidth - from))}`.padEnd(barWidth, '·');
}

function milliseconds(us: number): string {
  return `${(us / 1000).toFixed(us < 100_000 ? 2 : 0)} ms`;
}

function painter(colour: boolean): { red: (text: string) => string } {
  return { red: (text) => (colour ? `\u001b[31m${text}\u001b[0m` : text) };
}
