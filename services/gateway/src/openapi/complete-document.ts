import type { OpenAPIObject } from '@nestjs/swagger';
import { commonErrors, errorDefinition } from '@prime-nest/contracts/errors';
import type { ErrorCode } from '@prime-nest/contracts/errors';
import { problemMediaType, problemType } from '../http/problem.js';

interface Operation {
  operationId?: string;
  description?: string;
  security?: unknown[];
  parameters?: { in: string; name: string; description?: string }[];
  requestBody?: { content: Record<string, { schema?: unknown; example?: unknown }> };
  responses: Record<string, unknown>;
  'x-permission'?: string;
  'x-errors'?: readonly ErrorCode[];
  'x-success'?: Success;
  'x-request-example'?: unknown;
}

interface Success {
  readonly status: number;
  readonly example?: unknown;
  readonly mediaType?: string;
  readonly isAlsoText?: boolean;
}

const methods = ['get', 'post', 'put', 'patch', 'delete'] as const;

const problemSchema = {
  type: 'object',
  description: 'RFC 9457. `code` is stable; `title` is the same for every occurrence of a code.',
  required: ['type', 'title', 'status', 'code', 'correlationId', 'traceId'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    code: { type: 'string' },
    detail: { type: 'string' },
    violations: {
      type: 'array',
      items: {
        type: 'object',
        required: ['pointer', 'message'],
        properties: { pointer: { type: 'string' }, message: { type: 'string' } },
      },
    },
    heldBy: { type: 'object', additionalProperties: { type: 'integer' } },
    correlationId: { type: 'string' },
    traceId: { type: 'string' },
  },
};

/**
 * Fills in what follows from the declarations of a route: the permission in words, one problem response per status
 * with its codes, examples, and the headers of every answer. Sorted throughout, so that the same routes always give
 * the same bytes.
 */
export function completeDocument(document: OpenAPIObject): OpenAPIObject {
  const schemas = { ...document.components?.schemas, Problem: problemSchema };
  const used = new Set<ErrorCode>();
  for (const item of Object.values(document.paths)) {
    for (const method of methods) {
      const operation = item[method] as unknown as Operation | undefined;
      if (operation !== undefined) for (const code of complete(operation)) used.add(code);
    }
  }
  return withExamples({ ...document, components: { ...document.components, schemas } }, used);
}

/** The document with an example of each of these problems, sorted. */
export function withExamples(document: OpenAPIObject, codes: ReadonlySet<ErrorCode>): OpenAPIObject {
  const added = Object.fromEntries([...codes].map((code) => [code, { value: exampleProblem(code) }]));
  const examples = { ...document.components?.examples, ...added };
  return sorted({ ...document, components: { ...document.components, examples } }) as OpenAPIObject;
}

/** Answers the codes that the operation may answer with. */
function complete(operation: Operation): ErrorCode[] {
  const permission = operation['x-permission'];
  const needs = describeNeed(permission, operation.security !== undefined);
  operation.description = [operation.description, needs].filter((text) => text !== undefined).join('\n\n');
  for (const parameter of operation.parameters ?? []) parameter.description ??= meanings[parameter.name] ?? '';

  const { 'x-success': success, 'x-request-example': request, 'x-errors': errors = [] } = operation;
  if (success !== undefined) completeSuccess(operation, success);
  for (const body of Object.values(operation.requestBody?.content ?? {})) {
    if (request !== undefined) body.example = request;
  }
  const codes = [...errors, ...impliedErrors(operation)];
  Object.assign(operation.responses, problemResponses(codes));
  delete operation['x-success'];
  delete operation['x-request-example'];
  delete operation['x-errors'];
  return codes;
}

const meanings: Readonly<Record<string, string>> = {
  id: 'The id of the resource.',
  limit: 'The most items to answer.',
  offset: 'How many items to skip.',
  search: 'Part of a name, in any case.',
  cursor: '`nextCursor` of the page before.',
  occurredFrom: 'Inclusive, RFC 3339.',
  occurredTo: 'Exclusive, RFC 3339.',
};

function describeNeed(permission: string | undefined, isSecured: boolean): string {
  if (permission !== undefined) return `Requires the permission \`${permission}\`.`;
  return isSecured ? 'Requires a valid access token.' : 'Needs no access token.';
}

function completeSuccess(operation: Operation, { status, example, mediaType, isAlsoText }: Success): void {
  const response = operation.responses[String(status)] as
    { content?: Record<string, object>; headers?: object } | undefined;
  if (response === undefined) return;
  response.headers = {
    'X-Correlation-Id': { description: 'Names this request in logs and in the audit log.', schema: { type: 'string' } },
    'X-Trace-Id': { description: 'The trace of this request.', schema: { type: 'string' } },
  };
  const content = response.content?.['application/json'];
  if (content === undefined) return;
  response.content = {
    [mediaType ?? 'application/json']: { ...content, ...(example === undefined ? {} : { example }) },
    ...(isAlsoText === true ? { 'text/plain': { schema: { type: 'string' } } } : {}),
  };
}

function impliedErrors(operation: Operation): ErrorCode[] {
  const codes: ErrorCode[] = ['rate_limited', ...commonErrors.filter((code) => code !== 'validation_failed')];
  if (operation.security !== undefined)
    codes.push('token_missing', 'token_invalid', 'token_expired', 'session_revoked');
  if (operation['x-permission'] !== undefined) codes.push('forbidden');
  const isChecked = (operation.parameters ?? []).some((parameter) => parameter.in !== 'header');
  if (operation.requestBody !== undefined) {
    codes.push('validation_failed', 'malformed_json', 'body_too_large', 'unsupported_media_type');
  } else if (isChecked) codes.push('validation_failed');
  return codes;
}

export function problemResponses(codes: readonly ErrorCode[]): Record<string, unknown> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of [...new Set(codes)].sort()) {
    const { status } = errorDefinition(code);
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, list]) => [
      String(status),
      {
        description: list.map((code) => `\`${code}\`: ${errorDefinition(code).title}`).join('\n\n'),
        content: {
          [problemMediaType]: {
            schema: { $ref: '#/components/schemas/Problem' },
            examples: Object.fromEntries(list.map((code) => [code, { $ref: `#/components/examples/${code}` }])),
          },
        },
      },
    ]),
  );
}

function exampleProblem(code: ErrorCode) {
  const { status, title } = errorDefinition(code);
  return {
    type: problemType(code),
    title,
    status,
    code,
    ...(code === 'validation_failed' ? { violations: [{ pointer: '/name', message: 'is not a known field' }] } : {}),
    correlationId: '0193b2a8-b274-76a0-93ca-8fe071d25e67',
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  };
}

/** Object members in order of their names, so that the order of registration leaves no trace. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(
    members.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, member]) => [name, sorted(member)]),
  );
}
