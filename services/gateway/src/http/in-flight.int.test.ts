import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Controller, Get, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { startGateway, startServers, problemOf } from '../../test/harness.js';
import type { Gateway, Servers } from '../../test/harness.js';
import { Public } from '../access/route-access.decorator.js';
import { httpLimits } from '../http-server.js';

@Controller()
class Slow {
  /** As if it had come in long ago. */
  @Get('never')
  @Public()
  never(@Req() request: FastifyRequest): Promise<never> {
    Object.assign(request.state, { startedAtMs: performance.now() - httpLimits.handlerTimeoutMs });
    return new Promise(() => undefined);
  }
}

let servers: Servers;
let gateway: Gateway;

beforeAll(async () => {
  servers = await startServers();
  gateway = await startGateway(servers, { controllers: [Slow] });
});

afterAll(async () => {
  await gateway.stop();
  await servers.stop();
});

describe('a handler that never answers', () => {
  test('is answered for as unavailable when its time is over, and the connection serves on', async () => {
    const response = await gateway.fetch('/api/never');
    expect(response.status).toBe(503);
    expect(await problemOf(response)).toMatchObject({ code: 'unavailable' });
    expect(response.headers.get('retry-after')).toBe('1');
    expect((await gateway.fetch('/health/liveness')).status).toBe(200);
  });
});
