import { HttpCode, applyDecorators } from '@nestjs/common';
import { ApiExtension, ApiHeader, ApiOperation, ApiResponse } from '@nestjs/swagger';
import type { ErrorCode } from '@prime-nest/contracts/errors';
import type { z } from 'zod';

export interface Description {
  /** One line, imperative. */
  readonly summary: string;
  readonly description?: string;
  /** 200 unless given. */
  readonly status?: 200 | 201 | 204 | 503;
  /** What the success answers; none for 204. */
  readonly response?: z.ZodType;
  /** A complete answer that the response schema accepts; a test checks that it does. */
  readonly example?: unknown;
  /** A complete request body that the body's schema accepts. */
  readonly request?: unknown;
  /** Codes beyond those that the access, the body and the parameters bring along. */
  readonly errors?: readonly ErrorCode[];
  /** Request headers that the route reads: name to meaning. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly mediaType?: string;
  /** Whether it is answered as text, too, by what `Accept` asks for. */
  readonly isAlsoText?: boolean;
}

/** `headers` of a route that changes something with a version. */
export const ifMatch = { 'If-Match': 'the ETag of the version that this change is based on' };

const descriptionKey = Symbol('description');

export function descriptionOf(handler: object): Description | undefined {
  return Reflect.getMetadata(descriptionKey, handler) as Description | undefined;
}

/**
 * Documents a route for the OpenAPI document and sets its success status. Schemas of body, query and path come from
 * the handler's parameters, so what is documented is what is checked.
 */
export function Describe(description: Description): MethodDecorator {
  const { summary, status = 200, response, example, errors = [], headers = {}, mediaType, isAlsoText } = description;
  const success = {
    status,
    description: status === 204 ? 'Done.' : 'Success.',
    ...(response === undefined ? {} : { standardSchema: response }),
  };
  const documented = applyDecorators(
    HttpCode(status),
    ApiOperation({
      summary,
      ...(description.description === undefined ? {} : { description: description.description }),
    }),
    ApiResponse(success),
    ApiExtension('x-errors', [...errors]),
    ApiExtension('x-success', {
      status,
      ...(example === undefined ? {} : { example }),
      ...(mediaType === undefined ? {} : { mediaType }),
      ...(isAlsoText === true ? { isAlsoText } : {}),
    }),
    ...(description.request === undefined ? [] : [ApiExtension('x-request-example', description.request)]),
    ...Object.entries(headers).map(([name, meaning]) => ApiHeader({ name, description: meaning, required: false })),
  );
  return (target, key, descriptor) => {
    // The compiler emits no parameter types here, and without any the document would leave the parameters out.
    Reflect.defineMetadata(
      'design:paramtypes',
      Array.from({ length: 8 }, () => Object),
      target,
      key,
    );
    if (typeof descriptor.value === 'function') Reflect.defineMetadata(descriptionKey, description, descriptor.value);
    documented(target, key, descriptor);
  };
}
