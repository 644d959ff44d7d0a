/** Why a text is not acceptable JSON. Holds nothing of the text. */
export type JsonProblem = 'malformed' | 'too_deep' | 'duplicate_member' | 'forbidden_member' | 'bad_text';
export type StrictJson = { readonly value: unknown } | { readonly problem: JsonProblem };

// A BOM is not white space (RFC 8259 §8.1): keeping it makes JSON.parse refuse it.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses JSON of which no two parsers can hold different opinions (RFC 8259, I-JSON RFC 7493): well-formed UTF-8,
 * no member twice in an object, no `__proto__`, no NUL and no lone surrogate in any string, and nested at most
 * `depthMax` levels, which is known before the first value is built.
 */
export function parseStrictJson(bytes: Uint8Array, depthMax: number): StrictJson {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return { problem: 'malformed' };
  }
  const problem = scan(text, depthMax);
  if (problem !== undefined) return { problem };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { problem: 'malformed' };
  }
  // Only an escape can smuggle these in: raw control characters are not JSON, and raw lone surrogates not UTF-8.
  if (/\\u(?:0000|[dD][89a-fA-F])/.test(text) && hasBadText(value)) return { problem: 'bad_text' };
  return { value };
}

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const openObject = 0x7b;
const closeObject = 0x7d;
const openArray = 0x5b;
const closeArray = 0x5d;

/** Walks the text once. Exact for well-formed JSON; what it lets through although malformed, the parser refuses. */
function scan(text: string, depthMax: number): JsonProblem | undefined {
  const open: (Set<string> | undefined)[] = [];
  let isName = false;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case quote: {
        const end = endOfString(text, i);
        if (end === undefined) return 'malformed';
        if (isName) {
          const problem = take(open.at(-1), text.slice(i, end + 1));
          if (problem !== undefined) return problem;
          isName = false;
        }
        i = end;
        break;
      }
      case openObject:
        if (open.push(new Set()) > depthMax) return 'too_deep';
        isName = true;
        break;
      case openArray:
        if (open.push(undefined) > depthMax) return 'too_deep';
        isName = false;
        break;
      case closeObject:
      case closeArray:
        open.pop();
        isName = false;
        break;
      case comma:
        isName = open.at(-1) !== undefined;
        break;
    }
  }
  return undefined;
}

function endOfString(text: string, start: number): number | undefined {
  for (let i = start + 1; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === backslash) i++;
    else if (unit === quote) return i;
  }
  return undefined;
}

/** Two spellings of one name are the same member: names are compared as a parser reads them. */
function take(names: Set<string> | undefined, literal: string): JsonProblem | undefined {
  if (names === undefined) return 'malformed';
  let name = literal.slice(1, -1);
  if (name.includes('\\')) {
    try {
      name = String(JSON.parse(literal));
    } catch {
      return 'malformed';
    }
  }
  if (name === '__proto__') return 'forbidden_member';
  if (names.has(name)) return 'duplicate_member';
  names.add(name);
  return undefined;
}

function hasBadText(value: unknown): boolean {
  if (typeof value === 'string') return isBadText(value);
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([name, member]) => isBadText(name) || hasBadText(member));
}

/** Text that a database or another language would refuse or change: NUL, or not well-formed UTF-16. */
export function isBadText(text: string): boolean {
  return text.includes('\0') || /\p{Surrogate}/u.test(text);
}
