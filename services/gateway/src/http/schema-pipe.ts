import type { ArgumentMetadata, PipeTransform } from '@nestjs/common';
import { AppError } from '@prime-nest/contracts/errors';
import type { Violation } from '@prime-nest/contracts/errors';
import { isBadText } from './strict-json.js';

interface Issue {
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
  readonly message: string;
  readonly code?: string;
  readonly keys?: readonly string[];
}

const violationsMax = 20;

/**
 * Checks what a handler receives against the schema that it declares: `@Body({ schema })`, `@Query({ schema })`,
 * `@Param('id', { schema })`. Throws `validation_failed` with JSON Pointers (RFC 6901); a value never appears in it.
 */
export class SchemaPipe implements PipeTransform {
  transform(value: unknown, { schema, type, data }: ArgumentMetadata): unknown {
    if (schema === undefined) return value;
    if (type !== 'body' && hasBadText(value)) throw failed([{ pointer: '', message: 'must be well-formed text' }]);
    const result = schema['~standard'].validate(value);
    if (result instanceof Promise) throw new AppError('internal', { internal: { reason: 'asynchronous schema' } });
    if (result.issues === undefined) return result.value;
    throw failed(result.issues.slice(0, violationsMax).flatMap((issue) => violations(issue as Issue, data)));
  }
}

function violations({ path = [], message, code, keys }: Issue, parameter: string | undefined): Violation[] {
  const parts = path.map((part) => String(typeof part === 'object' ? part.key : part));
  const pointer = pointerOf(parameter === undefined ? parts : [parameter, ...parts]);
  if (code !== 'unrecognized_keys' || keys === undefined) return [{ pointer, message }];
  return keys.slice(0, violationsMax).map((name) => ({
    pointer: isPlainName(name) ? `${pointer}/${name}` : pointer,
    message: 'is not a known field',
  }));
}

function pointerOf(parts: readonly string[]): string {
  return parts.map((part) => (isPlainName(part) ? `/${part}` : '/*')).join('');
}

/** A name that a caller made up is only repeated when it could be a field's name. */
function isPlainName(name: string): boolean {
  return /^[A-Za-z0-9_-]{1,64}$/.test(name);
}

function failed(found: readonly Violation[]): AppError {
  return new AppError('validation_failed', { details: { violations: found } });
}

function hasBadText(value: unknown): boolean {
  if (typeof value === 'string') return isBadText(value);
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([name, member]) => isBadText(name) || hasBadText(member));
}
