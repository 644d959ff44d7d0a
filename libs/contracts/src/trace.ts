import { z } from 'zod';

/** A position in a W3C trace: 16-byte trace id, 8-byte span id, both lower-case hex, and the sampled flag. */
export const TraceContext = z.object({
  traceId: z.string().regex(/^(?!0{32})[0-9a-f]{32}$/),
  spanId: z.string().regex(/^(?!0{16})[0-9a-f]{16}$/),
  isSampled: z.boolean(),
});
export type TraceContext = z.infer<typeof TraceContext>;

const traceparent = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?$/;
const noTrace = '0'.repeat(32);
const noSpan = '0'.repeat(16);

/**
 * Reads a `traceparent` header (W3C Trace Context §3.2). Answers undefined for anything that is not well-formed:
 * a bad header means a new trace, never an error.
 */
export function parseTraceparent(header: string | undefined): TraceContext | undefined {
  if (header === undefined || header.length > 128 || !traceparent.test(header)) return undefined;
  if (header.startsWith('ff') || (header.startsWith('00') && header.length > 55)) return undefined;
  const [traceId, spanId, flags] = [header.slice(3, 35), header.slice(36, 52), header.slice(53, 55)];
  if (traceId === noTrace || spanId === noSpan) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent(trace: TraceContext): string {
  return `00-${trace.traceId}-${trace.spanId}-${trace.isSampled ? '01' : '00'}`;
}
