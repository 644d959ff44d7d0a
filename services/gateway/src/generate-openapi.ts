/** Writes openapi.json of this service from its routes: `node dist/generate-openapi.js`. Needs no server. */
import 'reflect-metadata';
import { writeFileSync } from 'node:fs';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { AppError } from '@prime-nest/contracts/errors';
import { KeySet } from './access/key-set.js';
import { GatewayModule, rootPaths } from './gateway.module.js';
import { createDocument } from './openapi.js';

const nobodyThere = () => Promise.reject(new AppError('unavailable'));
const module = GatewayModule.with({
  calls: { call: nobodyThere },
  keys: new KeySet(),
  checks: { readiness: nobodyThere },
});
const nest = await NestFactory.create<NestFastifyApplication>(module, new FastifyAdapter(), { logger: false });
nest.setGlobalPrefix('api', { exclude: rootPaths });
const document = createDocument(nest);
await nest.close();
writeFileSync(new URL('../openapi.json', import.meta.url), `${JSON.stringify(document, null, 2)}\n`);
