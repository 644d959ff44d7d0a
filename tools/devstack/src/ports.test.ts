import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { choosePort, freePort } from './ports.js';

const firstOfOutgoing = 32_768;

describe('a port for a server', () => {
  test('is none that an outgoing connection of this machine is given before the server binds it', async () => {
    const ports = await Promise.all(Array.from({ length: 100 }, () => freePort()));
    expect(ports.filter((port) => port < 20_000 || port >= firstOfOutgoing)).toEqual([]);
  });

  test('is the wanted one, or another with the busy one named', async () => {
    const blocker = createServer().listen(await freePort(), '127.0.0.1');
    await once(blocker, 'listening');
    const { port: taken } = blocker.address() as AddressInfo;
    const other = await choosePort(taken);
    expect(other).toEqual({ port: expect.any(Number), busy: taken });
    expect(other.port).not.toBe(taken);
    blocker.close();
    await once(blocker, 'close');
    expect(await choosePort(taken)).toEqual({ port: taken });
  });
});
