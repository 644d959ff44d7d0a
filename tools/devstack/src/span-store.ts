import { appendFileSync, readFileSync, renameSync, statSync } from 'node:fs';
import path from 'node:path';
import { makeFolder } from './folders.js';

/** One span as it is kept: what a person reads, without the envelope it travelled in. */
export interface KeptSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId?: string;
  readonly name: string;
  readonly kind: SpanKind;
  readonly service: string;
  /** Microseconds since the epoch. */
  readonly startUs: number;
  readonly durationUs: number;
  readonly isError: boolean;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
}

export type SpanKind = 'internal' | 'server' | 'client' | 'producer' | 'consumer';

/** Two files of at most this size: the newest spans are always there, and the folder never grows beyond both. */
const fileBytesMax = 8 * 1024 * 1024;

export interface SpanStore {
  add(spans: readonly KeptSpan[]): void;
}

/** Keeps the newest spans in `folder`, some tens of thousands, one JSON line each. */
export async function openSpanStore(folder: string, bytesMax = fileBytesMax): Promise<SpanStore> {
  await makeFolder(folder, 0o700);
  const { current, previous } = filesOf(folder);
  let bytes = statSync(current, { throwIfNoEntry: false })?.size ?? 0;
  return {
    add(spans) {
      const text = spans.map((span) => `${JSON.stringify(span)}\n`).join('');
      if (bytes > 0 && bytes + text.length > bytesMax) {
        renameSync(current, previous);
        bytes = 0;
      }
      appendFileSync(current, text, { mode: 0o600 });
      bytes += Buffer.byteLength(text);
    },
  };
}

/** The kept spans, oldest first; those of one trace when an id, or the beginning of one, is given. */
export function readSpans(folder: string, traceId = ''): KeptSpan[] {
  const { current, previous } = filesOf(folder);
  return [previous, current].flatMap((file) =>
    textOf(file)
      .split('\n')
      .filter((line) => line.startsWith(`{"traceId":"${traceId}`))
      .flatMap(parse),
  );
}

function filesOf(folder: string): { current: string; previous: string } {
  return { current: path.join(folder, 'spans.ndjson'), previous: path.join(folder, 'spans.old.ndjson') };
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // nothing has been kept yet
  }
}

function parse(line: string): KeptSpan[] {
  try {
    return [JSON.parse(line) as KeptSpan];
  } catch {
    return []; // cut off by a crash
  }
}
