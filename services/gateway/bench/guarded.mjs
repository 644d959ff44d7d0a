/**
 * A guarded GET (token verified, rate limit in Redis, decision of rbac over NATS) against bare Fastify and against
 * Nest on Fastify, in one run, interleaved: `node services/gateway/bench/guarded.mjs [seconds] [rounds]`. Needs a
 * build and starts its own servers. Absolute figures are this machine's; compare the ratios.
 */
import 'reflect-metadata';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Buffer } from 'node:buffer';
import net from 'node:net';
import { performance } from 'node:perf_hooks';
import { setInterval } from 'node:timers';
import { fileURLToPath } from 'node:url';

const self = fileURLToPath(import.meta.url);
const [role = '3', ...args] = process.argv.slice(2);
const connections = 64;

const roles = { bare, nest, rbac, gateway, load };
if (role in roles) await roles[role](...args);
else await compare(Number(role), Number(args[0] ?? 3));

async function bare() {
  const { fastify } = await import('fastify');
  const app = fastify();
  app.get('/hello', () => ({ hello: 'world' }));
  await app.listen({ port: 0, host: '127.0.0.1' });
  process.send({ port: app.server.address().port });
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

async function nest() {
  const { Module } = await import('@nestjs/common');
  const { NestFactory } = await import('@nestjs/core');
  const { FastifyAdapter } = await import('@nestjs/platform-fastify');
  class App {}
  Module({ controllers: [await helloController()] })(App);
  const app = await NestFactory.create(App, new FastifyAdapter(), { logger: false });
  await app.listen(0, '127.0.0.1');
  process.send({ port: app.getHttpServer().address().port });
}

/** `bus` is where NATS is and who may enter, as JSON. */
async function connection(user, bus) {
  const { servers, passwords } = JSON.parse(bus);
  const { connectBus } = await import('@prime-nest/kit/bus/connection');
  const { Secret } = await import('@prime-nest/kit/secret');
  const { silentLogger } = await import('@prime-nest/kit/log');
  return connectBus({ servers, user, password: new Secret(passwords[user]), name: user, log: silentLogger() });
}

/** Answers decisions as rbac does, from memory; identity's keys and revocations with them. */
async function rbac(busJson, jwk) {
  const asRbac = await connection('rbac', busJson);
  const asIdentity = await connection('identity', busJson);
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
  serve(asIdentity, 'identity.revocation.list.v1', () => ({ sequence: 0, revocations: [] }));
  serve(asIdentity, 'identity.revocation.renew_lease.v1', () => ({ sequence: 0 }));
  serve(asIdentity, 'identity.revocation.end_lease.v1', () => ({}));
  setInterval(() => asIdentity.publish('notify.identity.revocations.v1', '{"sequence":0,"revocations":[]}'), 1_000);
  await Promise.all([asRbac.flush(), asIdentity.flush()]);
  process.send({ port: 0 });
}

async function gateway(busJson, redisUrl) {
  const { buildApp } = await import('../dist/app.js');
  const { createParts } = await import('../dist/parts.js');
  const { Requires } = await import('../dist/access/route-access.decorator.js');
  const { createLogger } = await import('@prime-nest/kit/log');
  const { openSync } = await import('node:fs');
  const { pino } = await import('pino');
  const destination = pino.destination({ fd: openSync('/dev/null', 'w'), sync: true });
  const log = createLogger({ service: 'gateway', level: 'info', destination });
  const bus = await connection('gateway', busJson);
  const config = {
    API_PREFIX: 'api',
    ALLOWED_ORIGINS: [],
    TRUSTED_PROXY_HOPS: 0,
    HTTP_MAX_CONNECTIONS: 10_000,
    RATE_LIMIT_WINDOW_SECONDS: 900,
    RATE_LIMIT_ANONYMOUS_MAX: 1e6,
    RATE_LIMIT_PRINCIPAL_MAX: 1e7,
    REDIS_URL: redisUrl,
    TOKEN_ISSUER: 'bench',
    TOKEN_AUDIENCE: 'bench',
  };
  const parts = createParts({ config, connection: bus, log, isDraining: () => false });
  await parts.start();
  const controllers = [await helloController(Requires('bench:hello'))];
  const { nest: app } = await buildApp(config, { ...parts, controllers });
  await app.listen(0, '127.0.0.1');
  process.send({ port: app.getHttpServer().address().port });
}

/** Closed loop on kept connections, one request in flight on each; answers throughput and percentiles. */
async function load(port, path, ms, tokens) {
  const bearers = JSON.parse(tokens);
  const times = [];
  let failed = 0;
  const end = performance.now() + Number(ms);
  await Promise.all(
    Array.from({ length: connections }, (_, i) => {
      const token = bearers.length === 0 ? '' : `Authorization: Bearer ${bearers[i % bearers.length]}\r\n`;
      const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: bench\r\n${token}\r\n`);
      return new Promise((resolve) => {
        let sentAt = 0;
        let buffer = '';
        const socket = net.connect(Number(port), '127.0.0.1', send);
        socket.setNoDelay(true);
        function send() {
          sentAt = performance.now();
          if (sentAt > end) {
            socket.destroy();
            resolve();
          } else socket.write(request);
        }
        socket.on('data', (data) => {
          buffer += data.toString('latin1');
          const head = buffer.indexOf('\r\n\r\n');
          if (head < 0) return;
          const length = Number(/content-length: (\d+)/i.exec(buffer)?.[1] ?? 0);
          if (buffer.length < head + 4 + length) return;
          if (!buffer.startsWith('HTTP/1.1 200')) failed += 1;
          buffer = '';
          times.push(performance.now() - sentAt);
          send();
        });
        socket.on('error', () => {
          failed += 1;
          resolve();
        });
      });
    }),
  );
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.floor(times.length * share)] ?? 0;
  process.send({ perSecond: (times.length / Number(ms)) * 1000, p50: at(0.5), p99: at(0.99), failed });
}

async function compare(seconds, rounds) {
  const { startTestNats } = await import('@prime-nest/testkit/nats');
  const { startTestRedis } = await import('@prime-nest/testkit/redis');
  const { createHash, createPublicKey, sign } = await import('node:crypto');
  const { newKeyPair } = await import('@prime-nest/testkit/keys');
  const { newId } = await import('@prime-nest/kit/ids');
  const children = [];
  const start = async (name, more = [], execArgv = [], env = {}) => {
    const child = fork(self, [name, ...more.map(String)], { execArgv, env: { ...process.env, ...env } });
    children.push(child);
    const [{ port }] = await once(child, 'message');
    return { port, child };
  };
  const pair = newKeyPair(3072);
  const { n, e } = createPublicKey(pair.publicKey).export({ format: 'jwk' });
  const kid = createHash('sha256')
    .update(JSON.stringify({ e, kty: 'RSA', n }))
    .digest('base64url');
  const token = () => {
    const iat = Math.floor(Date.now() / 1000);
    const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = {
      iss: 'bench',
      aud: 'bench',
      sub: newId(),
      sid: newId(),
      jti: newId(),
      iat,
      exp: iat + 3600,
      ver: 0,
    };
    const input = `${encode({ alg: 'RS256', typ: 'at+jwt', kid })}.${encode(claims)}`;
    return `${input}.${sign('RSA-SHA256', Buffer.from(input), pair.privateKey).toString('base64url')}`;
  };
  const [nats, redis] = await Promise.all([startTestNats({ streams: false }), startTestRedis()]);
  const passwords = Object.fromEntries(
    ['gateway', 'identity', 'rbac'].map((user) => [user, nats.credentials(user).password]),
  );
  const busJson = JSON.stringify({ servers: nats.servers, passwords });
  try {
    await start('rbac', [busJson, JSON.stringify({ kty: 'RSA', kid, use: 'sig', alg: 'RS256', n, e })]);
    const traced = (ratio) => ({
      OTEL_ENABLED: 'true',
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: ratio,
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
      OTEL_SERVICE_NAME: 'gateway',
    });
    const preload = ['--import', '@prime-nest/kit/telemetry-register'];
    const guarded = ['/api/hello', Array.from({ length: connections }, token)];
    const candidates = [
      ['bare Fastify', await start('bare'), '/hello', []],
      ['Nest on Fastify', await start('nest'), '/hello', []],
      ['gateway, tracing off', await start('gateway', [busJson, redis.url]), ...guarded],
      ['gateway, tracing 1 %', await start('gateway', [busJson, redis.url], preload, traced('0.01')), ...guarded],
      ['gateway, tracing all', await start('gateway', [busJson, redis.url], preload, traced('1')), ...guarded],
    ];
    const results = new Map(candidates.map(([name]) => [name, []]));
    for (let round = 0; round <= rounds; round++) {
      for (const [name, { port }, path, tokens] of candidates) {
        const child = fork(self, ['load', port, path, seconds * 1000, JSON.stringify(tokens)].map(String));
        const [result] = await once(child, 'message');
        child.kill();
        if (round > 0) results.get(name).push(result); // the first round warms up
      }
    }
    const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
    const base = median(results.get('bare Fastify').map(({ perSecond }) => perSecond));
    for (const [name, list] of results) {
      const perSecond = median(list.map((one) => one.perSecond));
      const failed = list.reduce((sum, one) => sum + one.failed, 0);
      console.log(
        `${name.padEnd(22)} ${perSecond.toFixed(0).padStart(7)}/s  ${(perSecond / base).toFixed(2)} of bare  ` +
          `p50 ${median(list.map(({ p50 }) => p50)).toFixed(2)} ms  p99 ${median(list.map(({ p99 }) => p99)).toFixed(2)} ms  failed ${failed}`,
      );
    }
  } finally {
    for (const child of children) child.kill();
    await Promise.all([nats.stop(), redis.stop()]);
  }
  process.exit(0);
}
