import { hash } from 'node:crypto';
import type { Route, RouteFile, Upstream } from '@prime-nest/contracts/route-file';
import type { RouteSettings } from '../access/route-access.decorator.js';
import { matchPattern, parsePattern, segmentsOf, wordCount } from './path-pattern.js';
import type { PathPattern } from './path-pattern.js';

export interface TableRoute {
  readonly route: Route;
  /** As the gateway serves it, with `:parameters`: what logs, spans and metrics show. */
  readonly url: string;
  readonly settings: RouteSettings;
  readonly upstream: Upstream;
  readonly pattern: PathPattern;
}

/** A request that a route of the file fits. */
export interface RouteMatch {
  readonly found: TableRoute;
  readonly parameters: Readonly<Record<string, string>>;
  /** Below the prefix, decoded once. */
  readonly segments: readonly string[];
  /** As received, without its question mark. */
  readonly query: string;
}

/** The routes of one accepted file. It never changes: another file is another table. */
export class UpstreamTable {
  readonly file: RouteFile;
  /** The first 12 hex digits of the file's SHA-256. */
  readonly digest: string;
  readonly #prefix: readonly string[];
  readonly #routes: readonly TableRoute[];
  /** By method and number of segments; exceptions before what they are exceptions to. */
  readonly #index = new Map<string, TableRoute[]>();

  constructor(file: RouteFile, bytes: Uint8Array, prefix: string) {
    this.file = file;
    this.digest = hash('sha256', bytes, 'hex').slice(0, 12);
    this.#prefix = prefix.split('/');
    this.#routes = file.routes.map((route) => tableRoute(route, file, prefix));
    const exceptionsFirst = [...this.#routes].sort((a, b) => wordCount(b.pattern) - wordCount(a.pattern));
    for (const found of exceptionsFirst) {
      for (const method of withHead(found.route.methods)) {
        const key = `${method} ${found.pattern.length}`;
        this.#index.set(key, [...(this.#index.get(key) ?? []), found]);
      }
    }
  }

  get routes(): readonly TableRoute[] {
    return this.#routes;
  }

  /** `url`: the target of the request line, in origin or absolute form (RFC 9112 §3.2). */
  find(method: string, url: string): RouteMatch | undefined {
    const { path, query } = split(url);
    const segments = this.#below(path);
    if (segments === undefined) return undefined;
    for (const found of this.#index.get(`${method} ${segments.length}`) ?? []) {
      const parameters = matchPattern(found.pattern, segments);
      if (parameters !== undefined) return { found, parameters, segments, query };
    }
    return undefined;
  }

  /** The methods that a path supports; empty when no route of the file fits it. */
  allowed(url: string): readonly string[] {
    const segments = this.#below(split(url).path);
    if (segments === undefined) return [];
    const fitting = this.#routes.filter(({ pattern }) => matchPattern(pattern, segments) !== undefined);
    return [...new Set(fitting.flatMap(({ route }) => withHead(route.methods)))];
  }

  #below(path: string): readonly string[] | undefined {
    const segments = segmentsOf(path);
    if (segments === undefined || !this.#prefix.every((word, i) => segments[i] === word)) return undefined;
    return segments.slice(this.#prefix.length);
  }
}

function tableRoute(route: Route, file: RouteFile, prefix: string): TableRoute {
  const upstream = file.upstreams[route.target.upstream];
  if (upstream === undefined) throw new TypeError('the file has not been checked');
  const access =
    typeof route.access === 'string'
      ? ({ kind: route.access } as const)
      : ({ kind: 'permission', permission: route.access.permission } as const);
  const url = `/${prefix}${route.path}`;
  return { route, url, settings: { access, ...limitOf(route) }, upstream, pattern: parsePattern(route.path) };
}

/** Named by what it says: another limit in another file counts for itself. */
function limitOf({ methods, path, rateLimit }: Route): Pick<RouteSettings, 'limit'> {
  if (rateLimit === undefined) return {};
  const digest = hash('sha256', JSON.stringify([methods, path, rateLimit]), 'hex').slice(0, 12);
  return { limit: { name: `upstream-${digest}`, ...rateLimit } };
}

function withHead(methods: readonly string[]): readonly string[] {
  return methods.includes('GET') ? ['HEAD', ...methods] : methods;
}

function split(url: string): { readonly path: string; readonly query: string } {
  const target = url.replace(/^https?:\/\/[^/?#]*/i, '');
  const at = target.indexOf('?');
  return at === -1 ? { path: target, query: '' } : { path: target.slice(0, at), query: target.slice(at + 1) };
}
