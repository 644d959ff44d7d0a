import 'reflect-metadata';
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { errorTable } from '@prime-nest/contracts/errors';
import { KeySet } from './access/key-set.js';
import { accessOf } from './access/route-access.decorator.js';
import { GatewayModule, controllers, rootPaths } from './gateway.module.js';
import { descriptionOf } from './http/describe.decorator.js';
import { RouteTable } from './http/route-table.js';
import { createDocument } from './openapi.js';

interface Operation {
  operationId: string;
  summary: string;
  description: string;
  security?: unknown[];
  parameters: { name: string; in: string; description: string; required?: boolean }[];
  requestBody?: { content: Record<string, { schema: unknown; example?: unknown }> };
  responses: Record<string, { content?: Record<string, { schema?: unknown; example?: unknown; examples?: object }> }>;
  'x-permission'?: string;
}

const routes = new RouteTable();
let document: { paths: Record<string, Record<string, Operation>>; components: Record<string, Record<string, unknown>> };
let operations: [string, Operation][];

beforeAll(async () => {
  const nobodyThere = () => Promise.reject(new Error('not called'));
  const adapter = new FastifyAdapter();
  adapter.getInstance().addHook('onRoute', ({ url, method }) => {
    routes.add(url, [method].flat());
  });
  const module = GatewayModule.with({
    calls: { call: nobodyThere },
    keys: new KeySet(),
    checks: { readiness: nobodyThere },
  });
  const nest = await NestFactory.create<NestFastifyApplication>(module, adapter, { logger: false });
  nest.setGlobalPrefix('api', { exclude: rootPaths });
  document = createDocument(nest) as unknown as typeof document;
  await nest.init();
  await nest.close();
  operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]): [string, Operation] => [
      `${method.toUpperCase()} ${path}`,
      operation,
    ]),
  );
});

const handlers = controllers.flatMap((controller) =>
  Object.getOwnPropertyNames(controller.prototype)
    .map((name) => (controller.prototype as unknown as Record<string, unknown>)[name])
    .filter((member): member is (...args: never[]) => unknown => typeof member === 'function')
    .filter((handler) => accessOf(handler) !== undefined),
);

describe('the API document', () => {
  test('is the committed one', () => {
    const committed = readFileSync(new URL('../openapi.json', import.meta.url), 'utf8');
    expect(`${JSON.stringify(document, null, 2)}\n`).toBe(committed);
  });

  test('holds exactly the routes that are served', () => {
    const served = routes
      .list()
      .filter((route) => !route.startsWith('HEAD '))
      .map((route) => route.replaceAll(/:(\w+)/g, '{$1}').replace('/*', '/{path}'));
    expect(operations.map(([name]) => name).sort()).toEqual(served);
  });

  test('says of every operation what it does, needs, takes and answers', () => {
    for (const [name, operation] of operations) {
      expect([name, operation.summary]).toEqual([name, expect.stringMatching(/^[A-Z].{5,}/)]);
      const need = operation['x-permission'];
      if (need !== undefined) expect(operation.description).toContain(`Requires the permission \`${need}\``);
      else expect(operation.description).toMatch(/Requires a valid access token|Needs no access token/);
      expect([name, operation.security !== undefined]).toEqual([
        name,
        need !== undefined || operation.description.includes('valid access token'),
      ]);
      for (const parameter of operation.parameters)
        expect([name, parameter.name, typeof parameter.description]).toEqual([name, parameter.name, 'string']);
      for (const body of Object.values(operation.requestBody?.content ?? {}))
        expect([name, body.example]).not.toEqual([name, undefined]);
    }
  });

  test('gives every success but an empty one a schema and an example, and every problem its codes', () => {
    for (const [name, { responses }] of operations) {
      for (const [status, { content = {} }] of Object.entries(responses)) {
        if (status === '204') continue;
        const [media, shape] = Object.entries(content)[0] ?? [];
        expect([name, status, shape?.schema]).not.toEqual([name, status, undefined]);
        if (status.startsWith('2')) expect([name, shape?.example]).not.toEqual([name, undefined]);
        else {
          expect(media).toBe('application/problem+json');
          for (const code of Object.keys(shape?.examples ?? {})) expect(Object.keys(errorTable)).toContain(code);
        }
      }
      expect(Object.keys(responses)).toEqual(expect.arrayContaining(['429', '500', '503']));
    }
  });

  test('refers to nothing that it does not hold', () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/(\w+)\/(\w+)"/g)];
    for (const [, kind = '', name = ''] of references)
      expect(Object.keys(document.components[kind] ?? {})).toContain(name);
    expect(references.length).toBeGreaterThan(100);
  });

  test('shows examples that the schemas of the answers accept', () => {
    expect(handlers.length).toBe(operations.length);
    for (const handler of handlers) {
      const description = descriptionOf(handler);
      expect([handler.name, description === undefined]).toEqual([handler.name, false]);
      if (description?.response === undefined) continue;
      const parsed = description.response.safeParse(description.example);
      expect([handler.name, parsed.error?.issues]).toEqual([handler.name, undefined]);
    }
  });
});
