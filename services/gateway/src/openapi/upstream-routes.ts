import type { OpenAPIObject } from '@nestjs/swagger';
import { commonErrors } from '@prime-nest/contracts/errors';
import type { ErrorCode } from '@prime-nest/contracts/errors';
import { nameOf } from '../upstream/check-route-file.js';
import type { TableRoute } from '../upstream/upstream-table.js';
import { problemResponses, withExamples } from './complete-document.js';

const methods = { GET: 'get', POST: 'post', PUT: 'put', PATCH: 'patch', DELETE: 'delete' } as const;

/**
 * The document with the routes of the route file: who may call them, what they take, and the gateway's own answers.
 * What their bodies hold is known to their services only.
 */
export function withUpstreamRoutes(document: OpenAPIObject, routes: readonly TableRoute[]): OpenAPIObject {
  if (routes.length === 0) return document;
  const paths: Record<string, object> = { ...document.paths };
  const used = new Set<ErrorCode>();
  for (const found of routes) {
    const path = found.url.replaceAll(/:(\w+)/g, '{$1}');
    const codes = codesOf(found);
    for (const code of codes) used.add(code);
    const operations = found.route.methods.map((method) => [methods[method], operationOf(found, method, codes)]);
    paths[path] = { ...paths[path], ...(Object.fromEntries(operations) as object) };
  }
  return withExamples({ ...document, paths }, used);
}

function operationOf({ route, url }: TableRoute, method: keyof typeof methods, codes: readonly ErrorCode[]): object {
  const { access, request, response, target } = route;
  const parameter = (place: 'path' | 'query', name: string) => ({
    in: place,
    name,
    required: place === 'path',
    schema: { type: 'string' },
  });
  const permission = typeof access === 'string' ? undefined : access.permission;
  const content = (types: readonly string[]) => Object.fromEntries(types.map((type) => [type, {}]));
  const hasBody = method !== 'GET' && method !== 'DELETE';
  return {
    operationId: `${target.upstream}.${method.toLowerCase()}${route.path.replaceAll(/[^A-Za-z0-9]+/g, '.')}`,
    summary: route.summary ?? nameOf({ methods: [method], path: route.path }),
    description:
      permission !== undefined
        ? `Requires the permission \`${permission}\`.`
        : access === 'public'
          ? 'Needs no access token.'
          : 'Requires a valid access token.',
    tags: [target.upstream],
    parameters: [
      ...[...url.matchAll(/:(\w+)/g)].map(([, name = '']) => parameter('path', name)),
      ...request.query.map((name) => parameter('query', name)),
    ],
    ...(hasBody ? { requestBody: { content: content(request.contentTypes) } } : {}),
    ...(access === 'public' ? {} : { security: [{ accessToken: [] }] }),
    ...(permission === undefined ? {} : { 'x-permission': permission }),
    responses: {
      '2XX': { description: 'As the service answers.', content: content(response.contentTypes) },
      ...problemResponses(codes),
    },
  };
}

function codesOf({ route }: TableRoute): ErrorCode[] {
  const codes: ErrorCode[] = [
    'rate_limited',
    'upstream_failed',
    'upstream_unavailable',
    'upstream_timeout',
    ...commonErrors,
  ];
  if (route.access !== 'public') codes.push('token_missing', 'token_invalid', 'token_expired', 'session_revoked');
  if (typeof route.access !== 'string') codes.push('forbidden');
  if (route.methods.some((method) => method !== 'GET' && method !== 'DELETE'))
    codes.push('malformed_json', 'body_too_large', 'unsupported_media_type', 'bad_request');
  return codes;
}
