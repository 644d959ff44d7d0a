import { types } from 'node:util';

/**
 * Makes values safe to write down. Two nets, because either alone has holes: keys that name a credential lose their
 * value at any depth, and strings that look like a credential are masked wherever they stand.
 */
const redacted = '[redacted]';

// Names of credentials in general use (headers, environment, OAuth), not of anything a service models.
const sensitiveKey =
  /passw(or)?d|passphrase|secret|token|authorization|cookie|credential|(private|api|encryption)[-_]?key|^set-cookie$/i;

const jsonWebToken = /\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*/g;
const bearer = /\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}/gi;
const urlPassword = /([a-z][a-z0-9+.-]*:\/\/[^\s/:@"\\]*:)[^\s/@"\\]+@/gi;
const privateKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g;

/** Every text that one of the patterns above can match, and few others: one pass instead of four. */
const suspicious = /eyJ|bearer|basic|:\/\/|PRIVATE KEY/i;

const depthMax = 8;
const entriesMax = 100;
const stringLengthMax = 8_192;

/** Whether `value` is an error, also one made in another realm, where `instanceof` says no. */
export function isError(value: unknown): value is Error {
  return value instanceof Error || types.isNativeError(value);
}

export function isSensitiveKey(key: string): boolean {
  return sensitiveKey.test(key);
}

/** `text` with every lone surrogate replaced, so that it has a UTF-8 form. */
export function wellFormed(text: string): string {
  return text.toWellFormed();
}

/** Masks JSON Web Tokens, Authorization values, passwords in URLs and PEM private keys inside `text`. */
export function maskText(text: string): string {
  if (!suspicious.test(text)) return text;
  let masked = text;
  if (masked.includes('eyJ')) masked = masked.replace(jsonWebToken, redacted);
  if (/bearer|basic/i.test(masked)) masked = masked.replace(bearer, `$1 ${redacted}`);
  if (masked.includes('://')) masked = masked.replace(urlPassword, `$1${redacted}@`);
  if (masked.includes('PRIVATE KEY')) masked = masked.replace(privateKey, redacted);
  return masked;
}

/**
 * A plain copy of `value` that is safe to serialise: bounded in depth, width and length, without credentials, without
 * cycles. Values of getters that throw and of types that say nothing (functions, buffers) become a short label.
 */
export function redact(value: unknown, errors: (error: Error) => unknown = (error) => error.message): unknown {
  return copy(value, errors, depthMax);
}

/** The value of a field as {@link redact} would copy it. */
export function redactField(owner: object, name: string, errors: (error: Error) => unknown): unknown {
  return copyField(owner, name, errors, depthMax - 1);
}

function copy(value: unknown, errors: (error: Error) => unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return maskText(value.length > stringLengthMax ? `${value.slice(0, stringLengthMax)}…` : value);
    case 'bigint':
      return value.toString();
    case 'function':
    case 'symbol':
      return `[${typeof value}]`;
    case 'object':
      return value === null ? null : copyObject(value, errors, depth);
    case 'boolean':
    case 'number':
    case 'undefined':
      return value;
  }
}

function copyObject(value: object, errors: (error: Error) => unknown, depth: number): unknown {
  if (isError(value)) return errors(value);
  if (ArrayBuffer.isView(value)) return `[${String(value.byteLength)} bytes]`;
  if (depth === 0) return '[deep]';
  if (Array.isArray(value)) {
    const items = value.slice(0, entriesMax).map((item) => copy(item, errors, depth - 1));
    if (value.length > entriesMax) items.push(`[${String(value.length - entriesMax)} more]`);
    return items;
  }
  if (value instanceof Map) return copyObject(Object.fromEntries(value) as object, errors, depth);
  if (value instanceof Set) return copyObject([...value], errors, depth);
  const toJson: unknown = 'toJSON' in value ? value.toJSON : undefined;
  if (typeof toJson === 'function') {
    try {
      return copy(toJson.call(value), errors, depth - 1);
    } catch {
      return '[unprintable]';
    }
  }
  return copyFields(value, errors, depth);
}

function copyFields(value: object, errors: (error: Error) => unknown, depth: number): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  let count = 0;
  for (const key of Object.keys(value)) {
    if (++count > entriesMax) {
      result['…'] = `[${String(Object.keys(value).length - entriesMax)} more]`;
      break;
    }
    if (key === '__proto__') continue;
    result[key] = copyField(value, key, errors, depth - 1);
  }
  return result;
}

function copyField(owner: object, key: string, errors: (error: Error) => unknown, depth: number): unknown {
  if (isSensitiveKey(key)) return redacted;
  try {
    return copy((owner as Record<string, unknown>)[key], errors, depth);
  } catch {
    return '[unprintable]';
  }
}
