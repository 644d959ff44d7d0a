import { connect } from 'node:net';
import type { Server, Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Controller, Get } from '@nestjs/common';
import { eventually } from '@prime-nest/testkit/eventually';
import { allowOnly, newUser, startGateway, startServers } from '../../test/harness.js';
import type { Gateway, Servers, TestUser } from '../../test/harness.js';
import { raw, statusOf } from '../../test/raw.js';
import { Public } from '../access/route-access.decorator.js';

let servers: Servers;
let gateway: Gateway;
let user: TestUser;

beforeAll(async () => {
  servers = await startServers();
  allowOnly(servers.peers, ['rbac:view']);
  servers.peers.answer('rbac.role.list.v1', () => ({ data: [], total: 0 }));
  gateway = await startGateway(servers, { controllers: [LargeHttp] });
  user = newUser(servers.key);
});
afterAll(async () => {
  await gateway?.stop();
  await servers?.stop();
});

@Controller('large')
class LargeHttp {
  @Get()
  @Public()
  large(): string {
    return 'x'.repeat(32 * 1024 * 1024);
  }
}

/** Sends `bytes`, reads a kilobyte every half second, and answers when the server has had enough, in milliseconds. */
async function trickle(bytes: string): Promise<{ readonly cutAfterMs: number; readonly taken: number }> {
  const startedAt = performance.now();
  let taken = 0;
  const callback = (length: number) => {
    taken += length;
    return false;
  };
  let served: Socket | undefined;
  const socket = connect({ port: gateway.port, host: '127.0.0.1', onread: { buffer: Buffer.alloc(1024), callback } });
  (gateway.app.nest.getHttpServer() as Server).on('connection', (one) => {
    if (one.remotePort === socket.localPort) served = one;
  });
  socket.on('error', () => undefined);
  socket.write(bytes);
  const reading = setInterval(() => socket.resume(), 500);
  await eventually(() => served?.destroyed === true, { deadlineMs: 29_000 });
  clearInterval(reading);
  socket.destroy();
  return { cutAfterMs: performance.now() - startedAt, taken };
}

describe('clients that take their time or come in crowds', () => {
  test('a head, a body and a reader that never end are cut, others are served meanwhile', async () => {
    const startedAt = performance.now();
    const slow = [
      raw(gateway.port, 'GET /api/roles HTTP/1.1\r\nHost: x\r\nX-A: ', 15_000),
      raw(
        gateway.port,
        'POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
        15_000,
      ),
    ];
    const reading = trickle(`GET /api/large HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect((await gateway.fetch('/api/roles', { headers: user.headers })).status).toBe(200);
    for (const answer of await Promise.all(slow)) expect([0, 408]).toContain(statusOf(answer));
    expect(performance.now() - startedAt).toBeLessThan(10_500);
    // It has taken a little of what waits for it, again and again.
    const { cutAfterMs, taken } = await reading;
    expect(cutAfterMs).toBeLessThan(25_000);
    expect(taken).toBeGreaterThan(5_000);
  });

  test('one address has a bounded number of connections, and others have theirs', async () => {
    const small = await startGateway(servers, { connectionsPerAddress: 5 });
    const open = (from: string) =>
      new Promise<Socket>((resolve) => {
        const socket = connect({ port: small.port, host: '127.0.0.1', localAddress: from }, () => resolve(socket));
        socket.on('error', () => undefined);
      });
    const crowd = await Promise.all(Array.from({ length: 12 }, () => open('127.0.0.9')));
    await eventually(() => crowd.filter(({ closed }) => closed).length === 7);
    expect((await small.fetch('/health/liveness')).status).toBe(200);
    for (const socket of crowd) socket.destroy();
    await eventually(async () => !(await open('127.0.0.9')).closed);
    await small.stop();
  });
});
