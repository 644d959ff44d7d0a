/** A path of the route file, taken apart: its words, and its parameters by name. */
export type PathPart = { readonly word: string } | { readonly parameter: string };
export type PathPattern = readonly PathPart[];

const segmentLengthMax = 128;
const rawSegment = /^(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+$/;

/** `/invoices/:id` as parts. The path has been checked by the schema of the route file. */
export function parsePattern(path: string): PathPattern {
  return path
    .slice(1)
    .split('/')
    .map((part) => (part.startsWith(':') ? { parameter: part.slice(1) } : { word: part }));
}

/**
 * The segments of a path as received, decoded exactly once, or undefined when two parsers could read the path
 * differently: an empty segment, dots only, anything that is not a well-formed segment (RFC 3986 §3.3), and after
 * decoding a slash, a backslash, a control character, or a percent sign, which a second decoding would act on.
 */
export function segmentsOf(path: string): readonly string[] | undefined {
  if (!path.startsWith('/')) return undefined;
  const segments: string[] = [];
  for (const raw of path.slice(1).split('/')) {
    const segment = rawSegment.test(raw) ? decodeOnce(raw) : undefined;
    if (segment === undefined || segment.length > segmentLengthMax) return undefined;
    // eslint-disable-next-line no-control-regex -- control characters are what this is about
    if (/[/\\%\u0000-\u001f\u007f-\u009f]/.test(segment) || /^\.+$/.test(segment)) return undefined;
    segments.push(segment);
  }
  return segments;
}

function decodeOnce(raw: string): string | undefined {
  try {
    return decodeURIComponent(raw);
  } catch {
    // Not UTF-8, an overlong spelling of a dot or slash among it.
    return undefined;
  }
}

/** The one spelling of decoded segments that is sent on. */
export function encodeSegments(segments: readonly string[]): string {
  return segments.map((segment) => `/${encodeURIComponent(segment)}`).join('');
}

/** The parameters of a path that has the pattern's form, or undefined. */
export function matchPattern(
  pattern: PathPattern,
  segments: readonly string[],
): Readonly<Record<string, string>> | undefined {
  if (pattern.length !== segments.length) return undefined;
  const parameters: Record<string, string> = {};
  for (const [i, part] of pattern.entries()) {
    const segment = segments[i] ?? '';
    if ('parameter' in part) parameters[part.parameter] = segment;
    else if (part.word !== segment) return undefined;
  }
  return parameters;
}

/** Whether some path has the form of both. */
export function overlap(a: PathPattern, b: PathPattern): boolean {
  if (a.length !== b.length) return false;
  return a.every((part, i) => {
    const other = b[i];
    return other === undefined || 'parameter' in part || 'parameter' in other || part.word === other.word;
  });
}

/**
 * Whether `a` is the exception to `b`: wherever `b` has a word so has `a`, and more besides. Of two that overlap, the
 * exception is tried first; two that overlap with neither being the exception leave it open which one is meant.
 */
export function isException(a: PathPattern, b: PathPattern): boolean {
  return wordCount(a) > wordCount(b) && a.every((part, i) => 'word' in part || !('word' in (b[i] ?? part)));
}

export function wordCount(pattern: PathPattern): number {
  return pattern.filter((part) => 'word' in part).length;
}
