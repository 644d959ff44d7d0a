import 'reflect-metadata';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { INestMicroservice } from '@nestjs/common';
import type { MicroserviceOptions } from '@nestjs/microservices';
import type { NatsConnection } from '@nats-io/transport-node';
import { connect, createInbox, nkeys } from '@nats-io/transport-node';
import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { RpcContracts } from '@prime-nest/contracts/rpc';
import { startNats } from '@prime-nest/devstack/provider-nats';
import { controllable } from '@prime-nest/testkit/controllable';
import type { TestServer } from '@prime-nest/testkit/controllable';
import { eventually } from '@prime-nest/testkit/eventually';
import { runFolder } from '@prime-nest/testkit/test-run';
import { z } from 'zod';
import { currentContext, serviceContext } from '../context.js';
import { createLogger, silentLogger } from '../log.js';
import { Secret } from '../secret.js';
import { createBusClient } from './client.js';
import { busAuthenticator, busHealth, connectBus } from './connection.js';
import { BusServer, createRpc } from './server.js';

const demoRpc = {
  'demo.thing.get.v1': {
    request: z.strictObject({ id: z.string(), size: z.int().max(10).default(1) }),
    response: z.object({ id: z.string(), size: z.int(), context: z.unknown().optional() }),
    errors: ['not_found'],
    timeoutMs: 1_000,
  },
  'demo.thing.fail.v1': {
    request: z.strictObject({
      how: z.enum(['declared', 'undeclared', 'bug', 'unavailable', 'leak', 'shape', 'large']),
    }),
    response: z.object({ ok: z.boolean() }),
    errors: ['not_found'],
    timeoutMs: 1_000,
  },
  'demo.thing.wait.v1': {
    request: z.strictObject({ ms: z.int() }),
    response: z.object({ n: z.int() }),
    errors: [],
    timeoutMs: 400,
  },
} as const satisfies RpcContracts;

const Rpc = createRpc(demoRpc);
let served = 0;

@Controller()
class Demo {
  @Rpc('demo.thing.get.v1')
  get(request: { id: string; size: number }, context: CallContext) {
    if (request.id === 'none') return Promise.reject(new AppError('not_found'));
    expect(currentContext()).toEqual(context);
    return Promise.resolve({ ...request, context, passwordHash: 'must not leave' });
  }

  @Rpc('demo.thing.fail.v1')
  fail({ how }: { how: string }): Promise<{ ok: boolean }> {
    if (how === 'declared')
      throw new AppError('not_found', { internal: { reason: 'canary' }, details: { detail: 'x' } });
    if (how === 'undeclared') throw new AppError('last_administrator');
    if (how === 'unavailable') throw new AppError('unavailable', { internal: { dependency: 'x' } });
    if (how === 'leak') return Promise.reject(new Error('canary: password is hunter2'));
    if (how === 'shape') return Promise.resolve({ ok: 'canary' } as unknown as { ok: boolean });
    if (how === 'large') return Promise.resolve({ ok: true });
    throw new TypeError('canary');
  }

  @Rpc('demo.thing.wait.v1')
  async wait({ ms }: { ms: number }): Promise<{ n: number }> {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return { n: ++served };
  }
}

@Module({ controllers: [Demo] })
class DemoModule {}

const keys = { demo: nkeys.createUser(), caller: nkeys.createUser(), rogue: nkeys.createUser() };
const seedOf = (user: keyof typeof keys) => new Secret(new TextDecoder().decode(keys[user].getSeed()));
const users = (denied: string) => `
  users: [
    { nkey: ${keys.demo.getPublicKey()}, permissions: {
        publish: { allow: ["notify.demo.>"] }, allow_responses: { max: 1, ttl: "1m" },
        subscribe: { allow: ["demo.thing.get.v1 demo", "demo.thing.fail.v1 demo", ${denied} "_INBOX.demo.>", "notify.demo.>"] } } }
    { nkey: ${keys.caller.getPublicKey()}, permissions: {
        publish: { allow: ["demo.>", "nobody.>"] }, subscribe: { allow: ["_INBOX.caller.>"] } } }
    { nkey: ${keys.rogue.getPublicKey()}, permissions: { publish: { deny: ">" }, subscribe: { deny: ">" } } }
  ]`;

let denied = '"demo.thing.wait.v1 demo",';
let nats: TestServer;
const open: (() => Promise<unknown>)[] = [];
const log = silentLogger();

async function startServer(): Promise<TestServer> {
  const dataDir = await runFolder('kit-nats');
  return controllable((port) =>
    startNats({
      dataDir,
      port,
      env: { ...process.env, NATS_URL: undefined },
      configText: (place) => `listen: "${place.host}:${String(place.port)}"\nauthorization { ${users(denied)} }\n`,
    }),
  );
}

async function link(user: keyof typeof keys, name: string = user, logger = log): Promise<NatsConnection> {
  const connection = await connectBus({
    servers: `nats://127.0.0.1:${String(nats.port)}`,
    nkeySeed: seedOf(user),
    name,
    log: logger,
  });
  open.push(() => (connection.isClosed() ? Promise.resolve() : connection.close()));
  return connection;
}

async function serve(logger = log): Promise<{ server: BusServer; app: INestMicroservice; connection: NatsConnection }> {
  const connection = await link('demo', 'demo', logger);
  const server = new BusServer({ connection, service: 'demo', contracts: demoRpc, log: logger });
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(DemoModule, {
    strategy: server,
    logger: false,
    abortOnError: false,
  });
  await app.listen();
  open.push(() => app.close());
  return { server, app, connection };
}

async function caller() {
  const connection = await link('caller');
  return { connection, client: createBusClient({ connection, contracts: demoRpc, log }) };
}

async function failure(work: Promise<unknown>): Promise<AppError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof AppError) return error;
  throw new Error(`expected an AppError, got ${String(error)}`);
}

const context = serviceContext('caller');

beforeAll(async () => {
  nats = await startServer();
});
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});
afterAll(() => nats.stop());

describe('a call', () => {
  test('arrives parsed, with its context in the same trace, and answers only what the contract declares', async () => {
    await serve();
    const { client } = await caller();
    const user: CallContext = {
      ...context,
      actor: { type: 'user', id: '01900000-0000-7000-8000-000000000009' },
      ip: '192.0.2.1',
      userAgent: 'agent é',
    };
    const answer = await client.call('demo.thing.get.v1', { id: 'a' }, user);
    expect(answer).toMatchObject({
      id: 'a',
      size: 1,
      context: {
        correlationId: user.correlationId,
        actor: user.actor,
        ip: user.ip,
        userAgent: user.userAgent,
        trace: { traceId: user.trace.traceId },
      },
    });
    expect(answer).not.toHaveProperty('passwordHash');
  });

  test('fails with the declared code, and with internal for everything else, telling nothing of the inside', async () => {
    await serve();
    const { client, connection } = await caller();
    expect(await failure(client.call('demo.thing.get.v1', { id: 'none' }, context))).toMatchObject({
      code: 'not_found',
    });
    expect(await failure(client.call('demo.thing.fail.v1', { how: 'declared' }, context))).toMatchObject({
      code: 'not_found',
      details: { detail: 'x' },
    });
    expect(await failure(client.call('demo.thing.fail.v1', { how: 'unavailable' }, context))).toMatchObject({
      code: 'unavailable',
    });
    for (const how of ['undeclared', 'bug', 'leak', 'shape'] as const) {
      expect(await failure(client.call('demo.thing.fail.v1', { how }, context))).toMatchObject({ code: 'internal' });
      const raw = await connection.request('demo.thing.fail.v1', JSON.stringify({ how }), { timeout: 1_000 });
      expect(raw.string()).not.toMatch(/canary|hunter2|stack|internal":\{/);
    }
  });

  test('of a subject nobody serves, or while disconnected, is unavailable at once', async () => {
    const { client } = await caller();
    // The deadline is 1 s; nobody listens and NATS says so.
    const error = await failure(client.call('demo.thing.get.v1', { id: 'a' }, context));
    expect(error).toMatchObject({ code: 'unavailable', internal: { reason: 'no responders' } });
    await nats.kill();
    await eventually(
      async () =>
        (await failure(client.call('demo.thing.get.v1', { id: 'a' }, context))).internal.reason === 'disconnected',
    );
    await nats.restart();
  });

  test('that waits when the connection is lost is unavailable before its deadline', async () => {
    const { server } = await serve();
    const { client } = await caller();
    const work = failure(client.call('demo.thing.wait.v1', { ms: 1_000 }, context));
    await eventually(() => server.stats().inFlight === 1);
    await nats.kill();
    expect(await work).toMatchObject({ code: 'unavailable', internal: { reason: 'connection lost' } });
    await nats.restart();
  });

  test('past its deadline is unavailable, its late answer is discarded, and the next call gets its own', async () => {
    await serve();
    const { client } = await caller();
    expect(await failure(client.call('demo.thing.wait.v1', { ms: 600 }, context))).toMatchObject({
      code: 'unavailable',
      internal: { reason: 'deadline passed' },
    });
    const before = served;
    await eventually(() => served > before);
    expect(await client.call('demo.thing.wait.v1', { ms: 0 }, context)).toEqual({ n: served });
  });

  test('that its user may not make is refused by NATS and never reads as an answer', async () => {
    await serve();
    const connection = await link('rogue');
    const client = createBusClient({ connection, contracts: demoRpc, log });
    expect(await failure(client.call('demo.thing.get.v1', { id: 'a' }, context))).toMatchObject({
      code: 'unavailable',
    });
  });
});

describe('a server', () => {
  test('answers a plain NATS client, as an anonymous call in a new trace', async () => {
    await serve();
    const plain = await connect({
      servers: `nats://127.0.0.1:${String(nats.port)}`,
      authenticator: busAuthenticator(seedOf('caller')),
      inboxPrefix: '_INBOX.caller',
    });
    open.push(() => plain.close());
    const answer = (await plain.request('demo.thing.get.v1', '{"id":"a"}', { timeout: 1_000 })).json<{
      context: CallContext;
    }>();
    expect(answer.context.actor).toEqual({ type: 'anonymous' });
    expect(answer.context.trace.traceId).toMatch(/^[0-9a-f]{32}$/);
  });

  test('answers every malformed body with an error within a second and goes on serving', async () => {
    const lines: string[] = [];
    await serve(createLogger({ service: 'demo', level: 'trace', destination: { write: (line) => lines.push(line) } }));
    const { client, connection } = await caller();
    const bodies = [
      '',
      'null',
      '[]',
      '"x"',
      '1',
      '{',
      'canary',
      '{"id":1}',
      '{"id":"a","extra":1}',
      '{"id":"a","__proto__":{"x":1}}',
      '{"id":"a","size":11}',
      '{"pattern":"x","data":{}}',
      '['.repeat(50_000),
      `{"id":"${'x'.repeat(400_000)}"}`,
      '{"id":"\\ud800"}'.slice(0, -1),
    ];
    const payloads: (string | Uint8Array)[] = [...bodies, new Uint8Array([0xff, 0xfe, 0x00])];
    for (const subject of Object.keys(demoRpc)) {
      for (const payload of payloads) {
        const reply = await connection.request(subject, payload, { timeout: 1_000 });
        expect(reply.headers?.get('Nats-Service-Error-Code')).toBe('validation_failed');
        const { code, details } = reply.json<{ code: string; details: { violations: unknown[] } }>();
        expect(code).toBe('validation_failed');
        expect(details.violations.length).toBeGreaterThan(0);
        expect(reply.string()).not.toContain('canary');
      }
    }
    expect(await client.call('demo.thing.get.v1', { id: 'a' }, context)).toMatchObject({ id: 'a' });
    expect(Object.prototype).not.toHaveProperty('x');
    expect(lines.filter((line) => line.includes('rpc.served'))).toHaveLength(payloads.length * 3 + 1);
    for (const line of lines) expect(line.length).toBeLessThan(2_000);
  });

  test('names where a request breaks its schema', async () => {
    await serve();
    const { connection } = await caller();
    const reply = await connection.request('demo.thing.get.v1', '{"size":"x","a/b":1}', { timeout: 1_000 });
    const { details } = reply.json<{ details: { violations: { pointer: string }[] } }>();
    expect(details.violations.map(({ pointer }) => pointer).sort()).toEqual(['/a~1b', '/id', '/size']);
  });

  test('drops what nobody waits for any more, and counts it', async () => {
    const { server } = await serve();
    const { client, connection } = await caller();
    const { headers } = await import('@nats-io/transport-node');
    const late = headers();
    late.set('Pn-Deadline', String(Date.now() - 1));
    const before = served;
    connection.publish('demo.thing.wait.v1', '{"ms":0}', { headers: late, reply: createInbox('_INBOX.caller') });
    connection.publish('demo.thing.wait.v1', '{"ms":0}');
    await eventually(() => server.stats().expired === 1);
    await client.call('demo.thing.wait.v1', { ms: 0 }, context);
    expect(served).toBe(before + 1);
  });

  test('says overloaded at once when it is full, and serves again when it is not', async () => {
    const connection = await link('demo');
    const server = new BusServer({ connection, service: 'demo', contracts: demoRpc, log, inFlightMax: 1 });
    const app = await NestFactory.createMicroservice<MicroserviceOptions>(DemoModule, {
      strategy: server,
      logger: false,
    });
    await app.listen();
    open.push(() => app.close());
    const { client } = await caller();
    const first = client.call('demo.thing.wait.v1', { ms: 200 }, context);
    await eventually(() => server.stats().inFlight === 1);
    expect(await failure(client.call('demo.thing.get.v1', { id: 'a' }, context))).toMatchObject({ code: 'overloaded' });
    await first;
    expect(await client.call('demo.thing.get.v1', { id: 'a' }, context)).toMatchObject({ id: 'a' });
  });
});

describe('a server is ready only while it can hear', () => {
  test('not when NATS refuses one of its subjects, which it names; again when NATS allows it', async () => {
    await nats.stop();
    denied = '';
    nats = await startServer();
    const { server, connection } = await serve();
    expect(server.isServing()).toBe(false);
    expect(server.deaf()).toEqual(['demo.thing.wait.v1']);
    await expect(server.check()).rejects.toThrow('demo.thing.wait.v1');
    await expect(busHealth(connection).check()).rejects.toThrow('demo.thing.wait.v1');
    denied = '"demo.thing.wait.v1 demo",';
    await nats.restart();
    await eventually(() => server.isServing());
    await server.check();
    const { client } = await caller();
    expect(await client.call('demo.thing.wait.v1', { ms: 0 }, context)).toHaveProperty('n');
  });

  test('not while NATS is away; again, without a restart, when it is back', async () => {
    const { server, connection } = await serve();
    await server.check();
    await nats.kill();
    await eventually(() => !server.isServing());
    await expect(server.check()).rejects.toThrow('not connected');
    await expect(busHealth(connection).check()).rejects.toThrow('not connected');
    await nats.restart();
    await eventually(() => server.isServing());
    const { client } = await caller();
    expect(await client.call('demo.thing.get.v1', { id: 'a' }, context)).toMatchObject({ id: 'a' });
  });

  test('not after somebody closed a subscription behind its back; it subscribes again by itself', async () => {
    const { server, connection } = await serve();
    const inside = connection as unknown as {
      protocol: { subscriptions: { all(): { subject: string; unsubscribe(): void }[] } };
    };
    inside.protocol.subscriptions
      .all()
      .find(({ subject }) => subject === 'demo.thing.get.v1')
      ?.unsubscribe();
    await eventually(() => server.deaf().length === 1);
    await eventually(() => server.isServing());
  });

  test('not while it is away by its own choice: others get the requests, and it gets its share when it is back', async () => {
    const [one, other] = [await serve(), await serve()];
    const { client } = await caller();
    const get = () => client.call('demo.thing.get.v1', { id: 'a' }, context);
    await one.server.leave();
    await expect(one.server.check()).rejects.toThrow('away');
    await Promise.all(Array.from({ length: 20 }, get));
    await other.server.leave();
    expect(await failure(get())).toMatchObject({ code: 'unavailable' });
    await one.server.rejoin();
    await one.server.check();
    expect(await get()).toMatchObject({ id: 'a' });
  });
});
