/** One process of the bench: the argument says which. Tells its port when it listens, its CPU time when asked. */
import 'reflect-metadata';
import { hash, randomUUID } from 'node:crypto';
import { mkdtempSync, openSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { setImmediate, setInterval } from 'node:timers';

const [role, ...args] = process.argv.slice(2);
const host = '127.0.0.1';

const inspector = new Session();
inspector.connect();
await inspector.post('Profiler.enable');
const roles = { bare, asking, nest, libraries, peers, gateway };
const port = await roles[role](...args);

process.on('message', async ({ ask, file }) => {
  if (ask === 'cpu') process.send({ cpu: process.cpuUsage() });
  else if (ask === 'profile') await inspector.post('Profiler.start');
  else {
    writeFileSync(file, JSON.stringify((await inspector.post('Profiler.stop')).profile));
    process.exit(0);
  }
});
process.send({ port });

async function bare() {
  const { fastify } = await import('fastify');
  const app = fastify();
  app.get('/hello', () => ({ hello: 'world' }));
  await app.listen({ port: 0, host });
  return app.server.address().port;
}

/** What the two questions of a guarded request cost without a gateway. */
async function asking(bus, redisUrl) {
  const { fastify } = await import('fastify');
  const ask = await bothQuestions(bus, redisUrl);
  const app = fastify();
  app.get('/hello', async () => {
    await ask();
    return { hello: 'world' };
  });
  await app.listen({ port: 0, host });
  return app.server.address().port;
}

/** One message to Redis and one to rbac for all requests of a turn, at the same time. */
async function bothQuestions(bus, redisUrl) {
  const { Redis } = await import('ioredis');
  const nats = await connection('gateway', bus);
  const redis = new Redis(redisUrl);
  const keys = (waiting) => waiting.map((_, i) => `asking:${i}`);
  const count = 'for i = 1, #KEYS do redis.call("INCR", KEYS[i]) end return #KEYS';
  redis.defineCommand('countAll', { lua: count });
  const counted = askOncePerTurn((waiting) => redis.countAll(waiting.length, ...keys(waiting)));
  const check = { principalId: '01890000-0000-7000-8000-000000000001', permission: 'bench:hello' };
  const allowed = askOncePerTurn(async (waiting) => {
    const question = JSON.stringify({ checks: waiting.map(() => check) });
    const answer = await nats.request('rbac.access.decide.v1', question, { timeout: 5_000 });
    return answer.json().decisions;
  });
  return () => Promise.all([counted(), allowed()]);
}

/** One `ask` for all who come during one turn of the event loop. */
function askOncePerTurn(ask) {
  let waiting = [];
  return () =>
    new Promise((resolve, reject) => {
      if (waiting.length === 0) {
        setImmediate(() => {
          const now = waiting;
          waiting = [];
          ask(now).then(
            (answer) => now.forEach((one) => one.resolve(answer)),
            (error) => now.forEach((one) => one.reject(error)),
          );
        });
      }
      waiting.push({ resolve, reject });
    });
}

async function helloController(decorate) {
  const { Controller, Get } = await import('@nestjs/common');
  class Hello {
    hello() {
      return { hello: 'world' };
    }
  }
  const method = [Hello.prototype, 'hello', Object.getOwnPropertyDescriptor(Hello.prototype, 'hello')];
  Get('hello')(...method);
  decorate?.(...method);
  Controller()(Hello);
  return Hello;
}

/** `prepare` is given Fastify before Nest is. */
async function nest(prepare) {
  const { Module } = await import('@nestjs/common');
  const { NestFactory } = await import('@nestjs/core');
  const { FastifyAdapter } = await import('@nestjs/platform-fastify');
  const adapter = new FastifyAdapter();
  prepare?.(adapter.getInstance());
  class App {}
  Module({ controllers: [await helloController()] })(App);
  const app = await NestFactory.create(App, adapter, { logger: false });
  await app.listen(0, host);
  return app.getHttpServer().address().port;
}

/**
 * The libraries that a guarded request goes through, with nothing of ours around them: Nest on Fastify, the two
 * questions, Helmet's headers, as many more as the gateway sends, a digest to find the token by, a histogram, a log line.
 */
async function libraries(bus, redisUrl) {
  const { apiHeaders } = await import('../dist/http/security-headers.js');
  const { histogram } = await import('@prime-nest/kit/telemetry-metrics');
  const { oncePerTurn } = await import('@prime-nest/kit/log-destination');
  const { createRequire } = await import('node:module');
  const { pino } = createRequire(import.meta.resolve('@prime-nest/kit/log'))('pino');
  const ask = await bothQuestions(bus, redisUrl);
  const log = pino({ base: { service: 'bench' } }, oncePerTurn(openSync('/dev/null', 'w')));
  const times = histogram({ name: 'bench_seconds', help: 'Time of a request', labels: ['method', 'route', 'status'] });
  const security = apiHeaders();
  const ids = { correlationId: randomUUID(), traceId: randomUUID(), spanId: randomUUID() };
  const others = {
    'x-correlation-id': ids.correlationId,
    'x-trace-id': ids.traceId,
    traceparent: `00-${'1'.repeat(32)}-${'1'.repeat(16)}-00`,
    vary: 'Origin',
    ratelimit: '"principal";r=999;t=900',
    'ratelimit-policy': '"principal";q=1000;w=900',
    'ratelimit-limit': '1000',
    'ratelimit-remaining': '999',
    'ratelimit-reset': '900',
  };
  return nest((fastify) => {
    fastify.addHook('onRequest', async (request, reply) => {
      request.startedAtMs = performance.now();
      hash('sha256', request.headers.authorization ?? '');
      reply.headers(security).headers(others);
      await ask();
    });
    fastify.addHook(
      'onResponse',
      ({ method, routeOptions: { url }, ip, startedAtMs }, { statusCode: status }, done) => {
        const durationMs = performance.now() - startedAtMs;
        times.observe({ method, route: url, status }, durationMs / 1000);
        log.info({ method, route: url, status, durationMs, principalId: ids.correlationId, ip, ...ids }, 'http.served');
        done();
      },
    );
  });
}

/** `bus` is where NATS is and who may enter, as JSON. */
async function connection(user, bus) {
  const { servers, seeds } = JSON.parse(bus);
  const { connectBus } = await import('@prime-nest/kit/bus/connection');
  const { Secret } = await import('@prime-nest/kit/secret');
  const { silentLogger } = await import('@prime-nest/kit/log');
  return connectBus({ servers, nkeySeed: new Secret(seeds[user]), name: user, log: silentLogger() });
}

/** Answers decisions as rbac does, from memory; identity's keys and revocations with them. */
async function peers(bus, jwk) {
  const asRbac = await connection('rbac', bus);
  const asIdentity = await connection('identity', bus);
  const serve = (on, subject, answer) =>
    on.subscribe(subject, {
      queue: subject.split('.')[0],
      callback: (_error, message) => message.respond(JSON.stringify(answer(message))),
    });
  serve(asRbac, 'rbac.access.decide.v1', (message) => ({
    revision: 1,
    decisions: message.json().checks.map(() => ({ effect: 'allow' })),
  }));
  serve(asIdentity, 'identity.key.list.v1', () => ({ keys: [JSON.parse(jwk)] }));
  serve(asIdentity, 'identity.revocation.list.v1', () => ({ sequence: 0, head: 0, revocations: [] }));
  serve(asIdentity, 'identity.revocation.renew_lease.v1', () => ({ sequence: 0 }));
  serve(asIdentity, 'identity.revocation.end_lease.v1', () => ({}));
  setInterval(() => asIdentity.publish('notify.identity.revocations.v1', '{"sequence":0,"revocations":[]}'), 1_000);
  await Promise.all([asRbac.flush(), asIdentity.flush()]);
  return 0;
}

async function gateway(bus, redisUrl) {
  const { buildApp } = await import('../dist/app.js');
  const { createParts } = await import('../dist/parts.js');
  const { readGatewayConfig } = await import('../dist/config.js');
  const { Requires } = await import('../dist/access/route-access.decorator.js');
  const { createLogger } = await import('@prime-nest/kit/log');
  const { oncePerTurn } = await import('@prime-nest/kit/log-destination');
  const destination = oncePerTurn(openSync('/dev/null', 'w'));
  const log = createLogger({ service: 'gateway', level: 'info', destination });
  const config = readGatewayConfig({
    NODE_ENV: 'development',
    NATS_URL: JSON.parse(bus).servers,
    RATE_LIMIT_ANONYMOUS_MAX: '1000000',
    RATE_LIMIT_PRINCIPAL_MAX: '10000000',
    REDIS_URL: redisUrl,
    TOKEN_ISSUER: 'bench',
    TOKEN_AUDIENCE: 'bench',
    GATEWAY_SPOOL_DIR: mkdtempSync(path.join(tmpdir(), 'prime-nest-bench-')),
  });
  const parts = createParts({ config, connection: await connection('gateway', bus), log, isDraining: () => false });
  await parts.start();
  const controllers = [await helloController(Requires('bench:hello'))];
  const { nest: app } = await buildApp(config, { ...parts, controllers });
  await app.listen(0, host);
  return app.getHttpServer().address().port;
}
