import type { FastifyRequest } from 'fastify';
import type { RouteSettings } from '../access/route-access.decorator.js';
import type { RouteMatch } from '../upstream/upstream-table.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** The route of the route file that the request fits. */
    upstream?: RouteMatch | undefined;
  }
  interface FastifyContextConfig {
    /** The one route that stands for all routes of the route file. */
    isUpstream?: boolean;
  }
}

export function isUpstreamRoute(request: FastifyRequest): boolean {
  return request.routeOptions?.config?.isUpstream === true;
}

/** Whether any route, of our own or of the route file, takes the request. */
export function isUnknown(request: FastifyRequest): boolean {
  return isUpstreamRoute(request) ? request.upstream === undefined : request.is404;
}

/** The path of the route with its parameters' names, or undefined when no route takes the request. */
export function routeUrl(request: FastifyRequest): string | undefined {
  if (isUnknown(request)) return undefined;
  return request.upstream?.found.url ?? request.routeOptions?.url;
}

export function routeSettings(request: FastifyRequest): RouteSettings {
  if (isUpstreamRoute(request)) return request.upstream?.found.settings ?? {};
  return request.routeOptions.config as RouteSettings;
}
