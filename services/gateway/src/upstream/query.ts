import type { Violation } from '@prime-nest/contracts/errors';

export type ReadQuery =
  | { readonly text: string; readonly values: Readonly<Record<string, string>> }
  | { readonly violations: readonly Violation[] };

const violationsMax = 20;

/**
 * Reads a query string as forms write it, and writes it again in one spelling: only parameters that the route names,
 * each at most once, without control characters. What is sent on is what was read here, not what was received.
 */
export function readQuery(raw: string, named: readonly string[]): ReadQuery {
  const values = new Map<string, string>();
  const violations: Violation[] = [];
  for (const pair of raw === '' ? [] : raw.split('&')) {
    const at = pair.indexOf('=');
    const name = decode(at === -1 ? pair : pair.slice(0, at));
    const value = decode(at === -1 ? '' : pair.slice(at + 1));
    const isNamed = name !== undefined && named.includes(name);
    const pointer = isNamed ? `/${name}` : '';
    if (!isNamed) violations.push({ pointer, message: 'holds a parameter that this route does not know' });
    else if (value === undefined) violations.push({ pointer, message: 'must be well-formed text' });
    else if (values.has(name)) violations.push({ pointer, message: 'must not be given twice' });
    else values.set(name, value);
    if (violations.length === violationsMax) break;
  }
  if (violations.length > 0) return { violations };
  const text = [...values].map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
  return { text, values: Object.fromEntries(values) };
}

function decode(raw: string): string | undefined {
  try {
    const text = decodeURIComponent(raw.replaceAll('+', ' '));
    // eslint-disable-next-line no-control-regex -- control characters are what this is about
    return /[\u0000-\u001f\u007f]/.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}
