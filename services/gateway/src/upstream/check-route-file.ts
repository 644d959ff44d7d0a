import { RouteFile, routeLimits } from '@prime-nest/contracts/route-file';
import type { Route } from '@prime-nest/contracts/route-file';
import { parseStrictJson } from '../http/strict-json.js';
import { mayPassRequestHeader, mayPassResponseHeader } from './passed-headers.js';
import { isException, overlap, parsePattern } from './path-pattern.js';

export type CheckedFile = { readonly file: RouteFile } | { readonly problems: readonly string[] };

export interface BuiltInRoutes {
  /** The prefix of the API without slashes at its ends. */
  readonly prefix: string;
  /** `METHOD /path` of every route of our own, `/*` at the end where everything below is ours. */
  readonly routes: readonly string[];
}

const depthMax = 12;

/**
 * Reads a route file, or answers everything that is wrong with it, naming each route. A file that is accepted leaves
 * no request undecided: no two routes fit it unless one is the exception to the other, and none touches our own API.
 */
export function checkRouteFile(bytes: Uint8Array, builtIn: BuiltInRoutes): CheckedFile {
  if (bytes.length > routeLimits.fileBytesMax)
    return { problems: [`is larger than ${routeLimits.fileBytesMax} bytes`] };
  const json = parseStrictJson(bytes, depthMax);
  if ('problem' in json) return { problems: [`is not JSON that has one meaning: ${json.problem}`] };
  const parsed = RouteFile.safeParse(json.value);
  if (!parsed.success) {
    return { problems: parsed.error.issues.flatMap((issue) => shapeProblems(issue, json.value)) };
  }
  const file = parsed.data;
  const problems = [
    ...file.routes.flatMap((route) => routeProblems(route, file).map((text) => `${nameOf(route)}: ${text}`)),
    ...clashes(file.routes, builtIn),
  ];
  return problems.length > 0 ? { problems } : { file };
}

/** `GET,POST /invoices`: how a route is called in problems, logs and metrics. */
export function nameOf({ methods, path }: Pick<Route, 'methods' | 'path'>): string {
  return `${methods.join(',')} ${path}`;
}

function routeProblems(route: Route, file: RouteFile): string[] {
  const { target, request, response } = route;
  const upstream = file.upstreams[target.upstream];
  const problems: string[] = [];
  if (upstream === undefined) problems.push(`target: the upstream ${target.upstream} is not in this file`);
  else if (target.subject === undefined && upstream.url === undefined)
    problems.push(`target: the upstream ${target.upstream} has no url, and the target no subject`);
  if (target.subject !== undefined) {
    if (!target.subject.startsWith(`ext.${target.upstream}.`))
      problems.push(`target: the subject must begin with ext.${target.upstream}.`);
    if (request.contentTypes.some((type) => type !== 'application/json'))
      problems.push('request.contentTypes: over NATS only application/json');
    if (response.contentTypes.some((type) => type !== 'application/json'))
      problems.push('response.contentTypes: over NATS only application/json');
    if (request.headers.length + response.headers.length > 0 || response.cookies)
      problems.push('no headers or cookies pass over NATS');
    // The server's max_payload is 1 MB, and the request carries more than its body.
    if (request.bodyBytesMax > 512 * 1024) problems.push('request.bodyBytesMax: at most 524288 over NATS');
  }
  for (const name of request.headers)
    if (!mayPassRequestHeader(name)) problems.push(`request.headers: ${name} is not passed on to anybody`);
  for (const name of response.headers)
    if (!mayPassResponseHeader(name)) problems.push(`response.headers: ${name} is decided by the gateway`);
  if (new Set(route.methods).size < route.methods.length) problems.push('methods: one is named twice');
  const parameters = parsePattern(route.path).flatMap((part) => ('parameter' in part ? [part.parameter] : []));
  if (new Set(parameters).size < parameters.length) problems.push('path: a parameter is named twice');
  return problems;
}

function clashes(routes: readonly Route[], { prefix, routes: own }: BuiltInRoutes): string[] {
  const problems: string[] = [];
  const ownPaths = [...new Set(own.map((route) => route.slice(route.indexOf(' ') + 1)))];
  const parsed = routes.map((route) => ({ route, pattern: parsePattern(route.path) }));
  for (const { route } of parsed) {
    const full = `/${prefix}${route.path}`;
    const taken = ownPaths.find((path) => touches(full, path));
    if (taken !== undefined) problems.push(`${nameOf(route)}: ${taken} belongs to the gateway's own API`);
  }
  for (const [i, a] of parsed.entries()) {
    for (const b of parsed.slice(i + 1)) {
      const shared = a.route.methods.filter((method) => b.route.methods.includes(method));
      if (shared.length === 0 || !overlap(a.pattern, b.pattern)) continue;
      if (isException(a.pattern, b.pattern) || isException(b.pattern, a.pattern)) continue;
      problems.push(`${nameOf(a.route)}: the same requests would fit ${nameOf(b.route)}`);
    }
  }
  return problems;
}

function touches(path: string, own: string): boolean {
  if (own.endsWith('/*')) {
    const open = parsePattern(own.slice(0, -2));
    return overlap(parsePattern(path).slice(0, open.length), open);
  }
  return overlap(parsePattern(path), parsePattern(own));
}

interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly code: string;
  readonly keys?: readonly string[];
}

/** Names the route by what it calls itself, as far as that can be read. */
function shapeProblems(issue: Issue, value: unknown): string[] {
  const [first, index, ...rest] = issue.path;
  const isRoute = first === 'routes' && typeof index === 'number';
  const where = isRoute
    ? [labelOf(value, index), rest.join('.')].filter((text) => text !== '')
    : [issue.path.join('.')];
  const place = where.filter((text) => text !== '').join(': ');
  const problems =
    issue.code === 'unrecognized_keys' && issue.keys !== undefined
      ? issue.keys.map((key) => `${key.slice(0, 64)} is not known here`)
      : [issue.message];
  return problems.map((text) => (place === '' ? text : `${place}: ${text}`));
}

function labelOf(value: unknown, index: number): string {
  const routes = (value as { routes?: readonly unknown[] }).routes ?? [];
  const { methods, path } = (routes[index] ?? {}) as { methods?: unknown; path?: unknown };
  const isNamed = typeof path === 'string' && Array.isArray(methods) && methods.every((m) => typeof m === 'string');
  return isNamed ? `${methods.join(',')} ${path}`.slice(0, 300) : `routes.${index}`;
}
