import { SetMetadata, applyDecorators } from '@nestjs/common';
import type { INestApplication } from '@nestjs/common';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiBearerAuth, ApiExtension } from '@nestjs/swagger';
import type { RouteLimit } from '../limits/quota.js';
import type { RouteAccess } from './principal.js';

const accessKey = Symbol('route access');
const routePathKey = 'path';
const routeMethodKey = 'method';

/** What the request hooks know about a matched route. */
export interface RouteSettings {
  readonly access?: RouteAccess;
  /** `false`: not counted by the rate limit. */
  readonly isLimited?: boolean;
  /** Stricter than the common limit, and beside it. */
  readonly limit?: RouteLimit;
}

export type LimitOptions = Pick<RouteSettings, 'limit'>;
export type PublicOptions = Pick<RouteSettings, 'limit' | 'isLimited'>;

/** Anybody may call the route. A token that comes along is not looked at. */
export function Public(options: PublicOptions = {}): MethodDecorator {
  return declare({ kind: 'public' }, options);
}

/** The route needs a valid access token and no permission: it concerns the caller alone. */
export function Authenticated(options: LimitOptions = {}): MethodDecorator {
  return applyDecorators(declare({ kind: 'authenticated' }, options), ApiBearerAuth('accessToken'));
}

/** The route needs a valid access token and rbac's allow for `feature:action`, decided for every request. */
export function Requires(permission: `${string}:${string}`, options: LimitOptions = {}): MethodDecorator {
  return applyDecorators(
    declare({ kind: 'permission', permission }, options),
    ApiBearerAuth('accessToken'),
    ApiExtension('x-permission', permission),
  );
}

export function accessOf(handler: object): RouteAccess | undefined {
  return Reflect.getMetadata(accessKey, handler) as RouteAccess | undefined;
}

/** `Controller.method` of every route that declares no access. Such a gateway must not start. */
export function undeclaredRoutes(app: INestApplication): string[] {
  const scanner = new MetadataScanner();
  return app
    .get(DiscoveryService)
    .getControllers()
    .flatMap(({ metatype, name }) => {
      const prototype = metatype?.prototype as Record<string, unknown> | undefined;
      if (prototype === undefined) return [];
      return scanner
        .getAllMethodNames(prototype)
        .filter((method) => isUndeclared(prototype[method]))
        .map((method) => `${String(name)}.${method}`);
    });
}

function isUndeclared(handler: unknown): boolean {
  if (typeof handler !== 'function') return false;
  const isRoute = Reflect.hasMetadata(routePathKey, handler) && Reflect.hasMetadata(routeMethodKey, handler);
  return isRoute && accessOf(handler) === undefined;
}

function declare(access: RouteAccess, settings: Omit<RouteSettings, 'access'>): MethodDecorator {
  return applyDecorators(SetMetadata(accessKey, access), RouteConfig({ access, ...settings } satisfies RouteSettings));
}
