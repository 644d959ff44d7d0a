import 'reflect-metadata';
import type { DynamicModule, INestMicroservice, LoggerService, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import type { NatsConnection } from '@nats-io/transport-node';
import type { RpcContracts } from '@prime-nest/contracts/rpc';
import { BusServer } from './bus/server.js';
import type { AnswerAtOnce, RpcAtOnce } from './bus/rpc.js';
import type { Life } from './lifecycle.js';
import type { Logger } from './log.js';

export interface ServeOptions<C extends RpcContracts> {
  readonly service: string;
  readonly module: Type<unknown> | DynamicModule;
  readonly connection: NatsConnection;
  readonly contracts: C;
  readonly log: Logger;
  readonly life: Life;
  readonly atOnce?: RpcAtOnce<C>;
}

export interface Served {
  readonly app: INestMicroservice;
  readonly server: BusServer;
}

/**
 * Builds the Nest module and serves its `@Rpc` handlers; resolves when they are subscribed. Throws when a subject of
 * the contracts has no handler, or a handler no contract: half a service must not come up. At the stop, requests
 * already taken are finished and answered, then the module is closed. The connection is its maker's to drain.
 */
export async function serveRpc<C extends RpcContracts>(options: ServeOptions<C>): Promise<Served> {
  const { service, module, connection, contracts, log, life } = options;
  const atOnce = { ...options.atOnce } as Record<string, AnswerAtOnce>;
  const server = new BusServer({ connection, service, contracts, log, atOnce });
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(module, {
    strategy: server,
    logger: nestLogger(log),
    abortOnError: false,
  });
  life.onStop('rpc', () => app.close());
  await app.listen();
  const missing = Object.keys(contracts).filter((subject) => !server.served().includes(subject));
  if (missing.length > 0) throw new TypeError(`no handler for ${missing.join(', ')}`);
  return { app, server };
}

/** Nest's own messages: problems are kept, the story of its start is not. */
export function nestLogger(log: Logger): LoggerService {
  const text = (message: unknown) => (typeof message === 'string' ? { detail: message } : { err: message });
  return {
    log: (message: unknown) => {
      log.debug(text(message), 'nest.log');
    },
    warn: (message: unknown) => {
      log.warn(text(message), 'nest.warn');
    },
    error: (message: unknown) => {
      log.error(text(message), 'nest.error');
    },
    fatal: (message: unknown) => {
      log.fatal(text(message), 'nest.fatal');
    },
  };
}
