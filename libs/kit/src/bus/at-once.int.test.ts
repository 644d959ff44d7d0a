import 'reflect-metadata';
import { createConnection } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { NatsConnection } from '@nats-io/transport-node';
import { AppError } from '@prime-nest/contracts/errors';
import type { RpcContracts } from '@prime-nest/contracts/rpc';
import { startNats } from '@prime-nest/devstack/provider-nats';
import { controllable } from '@prime-nest/testkit/controllable';
import type { TestServer } from '@prime-nest/testkit/controllable';
import { runFolder } from '@prime-nest/testkit/test-run';
import { z } from 'zod';
import { currentContext, serviceContext } from '../context.js';
import { silentLogger } from '../log.js';
import { createBusClient } from './client.js';
import type { BusClient } from './client.js';
import { connectBus } from './connection.js';
import { BusServer } from './server.js';

const hows = ['at hand', 'frozen', 'not at hand', 'refused', 'broken', 'bad', 'frozen and bad'] as const;
const contracts = {
  'demo.thing.get.v1': {
    request: z.strictObject({ how: z.enum(hows) }),
    response: z.object({ by: z.string(), correlationId: z.string() }),
    errors: ['not_found'],
    timeoutMs: 5_000,
  },
} as const satisfies RpcContracts;

const connections: NatsConnection[] = [];
let nats: TestServer;
let server: BusServer;
let client: BusClient<typeof contracts>;
let handled = 0;

function answer(by: string): object {
  return { by, correlationId: currentContext()?.correlationId, passwordHash: 'must not leave' };
}

const frozen = Object.freeze({ by: 'frozen', correlationId: 'c', passwordHash: 'must not leave' });
const frozenAndBad = Object.freeze({ by: 'canary' });

function atHand(request: unknown): object | undefined {
  const { how } = request as { how: string };
  if (how === 'not at hand') return undefined;
  if (how === 'refused') throw new AppError('not_found');
  if (how === 'broken') throw new TypeError('canary');
  if (how === 'frozen') return frozen;
  if (how === 'frozen and bad') return frozenAndBad;
  return how === 'bad' ? { by: 'canary' } : answer('at once');
}

async function connected(name: string): Promise<NatsConnection> {
  const connection = await connectBus({ servers: `nats://127.0.0.1:${String(nats.port)}`, name, log: silentLogger() });
  connections.push(connection);
  return connection;
}

beforeAll(async () => {
  const dataDir = await runFolder('kit-at-once');
  nats = await controllable((port) => startNats({ dataDir, port, env: { ...process.env, NATS_URL: undefined } }));
  const atOnce = { 'demo.thing.get.v1': atHand };
  const connection = await connected('demo');
  server = new BusServer({ connection, service: 'demo', contracts, log: silentLogger(), atOnce });
  server.addHandler('demo.thing.get.v1', () => {
    handled++;
    return Promise.resolve(answer('handler'));
  });
  await new Promise<void>((resolve, reject) => {
    server.listen((cause) => (cause === undefined ? resolve() : reject(new Error('not listening', { cause }))));
  });
  client = createBusClient({ connection: await connected('caller'), contracts, log: silentLogger() });
});
beforeEach(() => {
  handled = 0;
});
afterAll(async () => {
  await server.close();
  for (const connection of connections) await connection.close();
  await nats.stop();
});

describe('an answer that is at hand', () => {
  const context = serviceContext('caller');
  const ask = (how: (typeof hows)[number]) => client.call('demo.thing.get.v1', { how }, context);

  test('is given without the handler, in the context of the call, with what the contract declares and no more', async () => {
    await expect(ask('at hand')).resolves.toEqual({ by: 'at once', correlationId: context.correlationId });
    expect(handled).toBe(0);
  });

  test('is checked and encoded once when it is frozen, and refused every time when it is bad', async () => {
    for (let i = 0; i < 3; i++) {
      await expect(ask('frozen')).resolves.toEqual({ by: 'frozen', correlationId: 'c' });
      await expect(ask('frozen and bad')).rejects.toMatchObject({ code: 'internal' });
    }
  });

  test.each(['a b: x', 'Pn-Actor: a\rb', 'é: x', 'é y: \n', ': x', '\0'])(
    'is given to headers that nobody may send (%j), on a connection that still stands',
    async (line) => {
      expect(await answerToRaw(`NATS/1.0\r\n${line}\r\n\r\n`)).toContain('"by":"at once"');
      expect(server.isServing()).toBe(true);
    },
  );

  test('is the handler’s when there is none', async () => {
    await expect(ask('not at hand')).resolves.toEqual({ by: 'handler', correlationId: context.correlationId });
    expect(handled).toBe(1);
  });

  test('meets the same checks: the request, a declared error, any other error, the answer', async () => {
    await expect(ask('refused')).rejects.toMatchObject({ code: 'not_found' });
    await expect(ask('broken')).rejects.toMatchObject({ code: 'internal' });
    await expect(ask('bad')).rejects.toMatchObject({ code: 'internal' });
    await expect(ask('nothing' as 'bad')).rejects.toMatchObject({ code: 'validation_failed' });
    expect(handled).toBe(0);
    expect(server.stats()).toEqual({ inFlight: 0, expired: 0 });
  });
});

/** Speaks the protocol by hand: no client would send such headers. */
async function answerToRaw(block: string): Promise<string> {
  const socket = createConnection({ host: '127.0.0.1', port: nats.port }).setEncoding('utf8');
  const [body, length] = ['{"how":"at hand"}', Buffer.byteLength(block)];
  socket.write('CONNECT {"verbose":false,"headers":true}\r\nSUB raw.inbox 1\r\n');
  socket.write(
    `HPUB demo.thing.get.v1 raw.inbox ${String(length)} ${String(length + body.length)}\r\n${block}${body}\r\n`,
  );
  let received = '';
  for await (const part of socket) {
    received += String(part);
    if (/MSG raw\.inbox [^]*\}/.test(received)) break;
  }
  return received;
}
