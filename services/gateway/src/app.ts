import 'reflect-metadata';
import type { DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppError } from '@prime-nest/contracts/errors';
import type { Clock } from '@prime-nest/kit/clock';
import type { Logger } from '@prime-nest/kit/log';
import { nestLogger } from '@prime-nest/kit/serve';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AccessGuard } from './access/access.guard.js';
import type { Authenticator } from './access/authenticator.js';
import type { DecideCommand } from './access/decide.command.js';
import { undeclaredRoutes } from './access/route-access.decorator.js';
import type { RouteSettings } from './access/route-access.decorator.js';
import type { GatewayConfig } from './config.js';
import { GatewayModule, rootPaths } from './gateway.module.js';
import type { RouteParts } from './gateway.module.js';
import { createHttpAdapter } from './http-server.js';
import { ProblemFilter } from './http/problem.filter.js';
import { RouteTable } from './http/route-table.js';
import { SchemaPipe } from './http/schema-pipe.js';
import type { RouteLimit } from './limits/quota.js';
import type { RateLimit } from './limits/rate-limit.guard.js';
import { createDocument, serveDocument } from './openapi.js';
import { installUpstreams } from './upstream/upstream.http.js';
import type { Upstreams } from './upstream/upstreams.js';
import { RequestHooks } from './request-hooks.js';
import type { RecordEvent } from './spool/record-event.js';

export type AppConfig = Pick<
  GatewayConfig,
  | 'API_PREFIX'
  | 'API_DOCS'
  | 'ALLOWED_ORIGINS'
  | 'TRUSTED_PROXY_HOPS'
  | 'HTTP_MAX_CONNECTIONS'
  | 'HTTP_MAX_CONNECTIONS_PER_ADDRESS'
>;

export interface AppParts extends RouteParts {
  readonly authenticator: Authenticator;
  readonly decide: DecideCommand;
  readonly limit: RateLimit;
  readonly recordEvent: RecordEvent;
  readonly clock: Clock;
  readonly log: Logger;
  readonly isDraining: () => boolean;
  /** Services of the route file, if there is one. */
  readonly upstreams?: Upstreams | undefined;
  /** Controllers beside our own. */
  readonly controllers?: NonNullable<DynamicModule['controllers']>;
}

export interface App {
  readonly nest: NestFastifyApplication;
  readonly routes: RouteTable;
}

/**
 * Builds the HTTP side, ready to listen. Throws when a route declares no access: a gateway with an open door by
 * oversight must not come up.
 */
export async function buildApp(config: AppConfig, parts: AppParts): Promise<App> {
  const { log } = parts;
  const routes = new RouteTable();
  const { upstreams } = parts;
  const allowed = (path: string) => [...routes.allowed(path), ...(upstreams?.load.table?.allowed(path) ?? [])].sort();
  const problems = new ProblemFilter(log, allowed, parts.recordEvent);
  const prefix = `/${config.API_PREFIX}`;
  const hooks = new RequestHooks({
    ...parts,
    allowedOrigins: config.ALLOWED_ORIGINS,
    documentationPath: `${prefix}/docs`,
    onOverdue: (error, request, reply) => {
      problems.answer(error, request, reply);
    },
  });
  const adapter = createHttpAdapter({
    trustedProxyHops: config.TRUSTED_PROXY_HOPS,
    maxConnections: config.HTTP_MAX_CONNECTIONS,
    maxConnectionsPerAddress: config.HTTP_MAX_CONNECTIONS_PER_ADDRESS,
    onUnroutable: (error: unknown, request: FastifyRequest, reply: FastifyReply) => {
      hooks.begin(request, reply);
      problems.answer(error, request, reply);
      hooks.end(request, reply.statusCode);
    },
  });
  const fastify = adapter.getInstance();
  const limits: RouteLimit[] = [];
  fastify.addHook('onRoute', ({ url, method, config: settings }) => {
    if (settings?.isUpstream === true) return;
    routes.add(url, [method].flat());
    const { limit } = (settings ?? {}) as RouteSettings;
    if (limit !== undefined) limits.push(limit);
  });
  if (upstreams !== undefined) {
    installUpstreams(fastify, {
      prefix: config.API_PREFIX,
      table: () => upstreams.load.table,
      forward: upstreams.forward,
      onError: (error, request, reply) => {
        problems.answer(error, request, reply);
      },
    });
  }
  hooks.install(fastify);

  const nest = await NestFactory.create<NestFastifyApplication>(GatewayModule.with(parts, parts.controllers), adapter, {
    logger: nestLogger(log),
    abortOnError: false,
    bodyParser: false,
  });
  nest.setGlobalPrefix(config.API_PREFIX, { exclude: rootPaths });
  nest.useGlobalGuards(new AccessGuard());
  nest.useGlobalPipes(new SchemaPipe());
  nest.useGlobalFilters(problems);

  const undeclared = undeclaredRoutes(nest);
  if (undeclared.length > 0) {
    const reason = `no @Public, @Authenticated or @Requires on ${undeclared.join(', ')}`;
    throw new AppError('internal', { internal: { reason } });
  }
  if (config.API_DOCS) serveDocument(nest, createDocument(nest), () => upstreams?.load.table?.routes ?? []);
  await nest.init();
  await fastify.ready();
  parts.limit.declare(limits);
  await upstreams?.load.start({ prefix: config.API_PREFIX, routes: routes.list() });
  return { nest, routes };
}
