import canonicalize from 'canonicalize';

/** A key that an object does not keep in the order in which it was given, or does not take as a key at all. */
const unordered = /^(?:\d+|__proto__)$/;

/**
 * The RFC 8785 form of plain JSON. Undefined for undefined; throws where there is no form (a lone surrogate, §3.2.2.2).
 * Sorted keys are all that JSON.stringify lacks (§3.2.3: its numbers and strings are the same), and it is faster; where
 * an object cannot be put in order that way, the library does it.
 */
export function canonicalText(value: unknown): string | undefined {
  const sorted = sortedCopy(value);
  const text = sorted === undefined ? undefined : JSON.stringify(sorted);
  return text === undefined || hasSurrogateEscape(text) ? canonicalize(value) : text;
}

/** Whether `text`, of which JSON.parse has made `value`, is in RFC 8785 form. */
export function isCanonical(text: string, value: unknown): boolean {
  if (isInOrder(value) && !hasSurrogateEscape(text) && JSON.stringify(value) === text) return true;
  try {
    return canonicalize(value) === text;
  } catch {
    // A lone surrogate.
    return false;
  }
}

/** JSON.stringify writes a lone surrogate as an escape, and nothing else that way. A backslash before `ud` looks like one. */
function hasSurrogateEscape(text: string): boolean {
  return text.includes('\\ud');
}

/** Undefined when a key keeps its own order. */
function sortedCopy(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    const items = value.map(sortedCopy);
    return items.includes(undefined) ? undefined : items;
  }
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value).sort()) {
    const item = (value as Readonly<Record<string, unknown>>)[key];
    const sorted = sortedCopy(item);
    if (unordered.test(key) || (sorted === undefined && item !== undefined)) return undefined;
    copy[key] = sorted;
  }
  return copy;
}

function isInOrder(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (Array.isArray(value)) return value.every(isInOrder);
  let last: string | undefined;
  for (const [key, item] of Object.entries(value)) {
    if ((last !== undefined && last >= key) || !isInOrder(item)) return false;
    last = key;
  }
  return true;
}
