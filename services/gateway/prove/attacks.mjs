/**
 * Proof by attack: the whole system as `npm start` runs it, its gateway attacked by strangers while a client with a
 * token goes on working. Nothing may be let through, answered 5xx, or kept: connections, memory. Each attack also goes
 * to a control that lacks the protection and has to fall.
 *
 *     npm run prove:attacks [-- tokens bodies texts sizes slowness]
 *
 * About three minutes, everything on 127.0.0.x.
 */
import { fork } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { setInterval, clearInterval } from 'node:timers';
import { fileURLToPath } from 'node:url';
import { buildIfNeeded } from '../../../scripts/build-if-needed.mjs';
import { createReport } from '../../../scripts/prove/report.mjs';
import { startCanary } from '../test/canary.ts';
import { naiveAccepts } from '../test/naive-verifier.ts';
import { attackerAddress, endless, exchange, hold, steadyTraffic } from './clients.mjs';
import { hostileBodies, hostileTexts } from '../test/hostile-texts.ts';

buildIfNeeded();
const { startSystem } = await import('@prime-nest/devstack/start-system');
const { tokenAttacks } = await import('../test/token-attacks.ts');

const report = createReport();
const home = await mkdtemp(path.join(tmpdir(), 'prime-nest-attacks-'));
const env = { RATE_LIMIT_ANONYMOUS_MAX: '1000000', RATE_LIMIT_PRINCIPAL_MAX: '10000000', LOG_LEVEL: 'warn' };
const careless = fork(fileURLToPath(new URL('careless-server.mjs', import.meta.url)));
const [{ port: carelessPort }] = await once(careless, 'message');
const system = await startSystem({ home, env });
const { pid } = system.service('gateway');
const port = Number(new URL(system.gatewayUrl).port);
try {
  const token = await signIn();
  const megabytes = () =>
    Math.round((Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4_096) / 2 ** 20);
  const failuresBefore = await fivexx();
  // What it needs for work like this at all, before any attack.
  await Promise.all(
    Array.from({ length: 2_000 }, (_, i) => i % 20 === 0 && exchange(port, request('GET /api/features', token))),
  );
  const before = megabytes();
  const heapBefore = await heap();
  let peak = before;
  const watching = setInterval(() => {
    try {
      peak = Math.max(peak, megabytes());
    } catch {
      // The process is gone: the last claim of all says so.
    }
  }, 200);

  const wanted = process.argv.slice(2);
  for (const attack of [tokens, bodies, texts, sizes, slowness]) {
    if (wanted.length > 0 && !wanted.includes(attack.name)) continue;
    await attack(token);
    console.log(`${attack.name}: done`);
  }

  clearInterval(watching);
  for (let i = 0; i < 30 && (await heap()) > heapBefore + 16; i++) await pause(1_000);
  const heapAfter = await heap();
  report.add('Memory returns after the attacks', {
    figure: `in use (heap and buffers) ${heapBefore} MB before, ${heapAfter} MB afterwards; resident ${before} MB before, ${peak} MB at most, ${megabytes()} MB afterwards`,
    isProven: heapAfter <= heapBefore + 64 && peak < 1_024,
  });
  const failures = (await fivexx()) - failuresBefore;
  const isSame = system.service('gateway').pid === pid;
  if (!isSame) console.log(system.logs('gateway').slice(-20).join('\n'));
  report.add('The gateway answered no 5xx to any of it and never restarted', {
    figure: `${failures} answers of 5xx by its own count, ${isSame ? 'the same process' : 'another process'}`,
    isProven: failures === 0 && isSame,
  });
} finally {
  careless.kill();
  await system.stop();
  await rm(home, { recursive: true, force: true });
}
process.exit(report.finish());

async function signIn() {
  const response = await fetch(`${system.state.apiUrl}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: system.state.adminEmail, password: (await system.adminPassword()).trim() }),
  });
  return (await response.json()).access_token;
}

function request(line, token, { headers = [], body = '' } = {}) {
  const lines = [`${line} HTTP/1.1`, 'Host: prove', 'Connection: close'];
  if (token !== undefined) lines.push(`Authorization: Bearer ${token}`);
  if (body !== '') lines.push('Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`);
  return Buffer.concat([Buffer.from([...lines, ...headers, '', ''].join('\r\n')), Buffer.from(body)]);
}

/** Megabytes that the gateway's program holds, as it says itself; the allocator gives pages back when it likes. */
async function heap() {
  const text = await (await fetch(system.state.metrics.gateway)).text();
  const of = (name) => Number(new RegExp(`^${name}\\{[^}]*\\} (\\S+)`, 'm').exec(text)?.[1] ?? 0);
  return Math.round((of('nodejs_heap_size_used_bytes') + of('nodejs_external_memory_bytes')) / 2 ** 20);
}

/** Every answer of 5xx that the gateway has counted. */
async function fivexx() {
  const text = await (await fetch(system.state.metrics.gateway)).text();
  const lines = text.matchAll(/^http_server_request_duration_seconds_count\{[^}]*status_code="5\d\d"[^}]*\} (\d+)/gm);
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** Runs `work` for each item, `width` at a time. */
async function each(items, width, work) {
  const queue = items.entries();
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (const [i, item] of queue) await work(item, i);
    }),
  );
}

function sum(found) {
  return Object.entries(found)
    .map(([status, times]) => `${times} × ${status}`)
    .join(', ');
}

function count(found, status) {
  found[status] = (found[status] ?? 0) + 1;
}

/** No answer, an error of ours, or a success. */
function wrong(found) {
  return Object.keys(found).filter((status) => status === '0' || status.startsWith('5') || status.startsWith('2'));
}

async function tokens(token) {
  const [, body] = token.split('.');
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString());
  const publicKeyPem = readFileSync(path.join(home, 'secrets', 'public.pem'), 'utf8');
  const { keys } = await (await fetch(`${system.gatewayUrl}/.well-known/jwks.json`)).json();
  const privateKey = createPrivateKey(readFileSync(path.join(home, 'secrets', 'private.pem'), 'utf8'));
  const key = { privateKey, publicKeyPem, jwk: keys[0] };
  const [canary, controlCanary] = await Promise.all([startCanary(), startCanary()]);
  const found = {};
  const attacks = tokenAttacks({ key, claims, canaryUrl: canary.url });
  await each(attacks, 8, async ({ authorization }) => {
    const { status } = await exchange(
      port,
      request('GET /api/features', undefined, { headers: [`Authorization: ${authorization}`] }),
    );
    count(found, status);
  });
  let accepted = 0;
  for (const { authorization } of tokenAttacks({ key, claims, canaryUrl: controlCanary.url })) {
    if (await naiveAccepts(authorization, publicKeyPem)) accepted += 1;
  }
  report.add('No token of the attack catalogue is accepted, and nobody is asked for a key', {
    figure: `${attacks.length} tokens made with the real key: ${sum(found)}; ${canary.touched()} connections to the addresses they name`,
    control: `a careless verifier accepts ${accepted} and connects ${controlCanary.touched()} times`,
    isProven: wrong(found).length === 0 && canary.touched() === 0 && accepted > 0 && controlCanary.touched() > 0,
  });
  canary.stop();
  controlCanary.stop();
}

async function bodies(token) {
  const found = {};
  const control = {};
  await each(hostileBodies, 4, async (body) => {
    count(found, (await exchange(port, request('POST /api/roles', token, { body }))).status);
    count(control, (await exchange(carelessPort, request('POST /', undefined, { body }))).status);
  });
  report.add('Bodies that are not the JSON they claim to be are refused as such', {
    figure: `${hostileBodies.length} bodies: ${sum(found)}`,
    control: `a careless server: ${sum(control)}`,
    isProven: wrong(found).length === 0 && (control[500] ?? 0) > 0 && (control[200] ?? 0) > 0,
  });
}

async function texts(token) {
  const found = {};
  const control = {};
  const send = async (line, options) => {
    const { status, text } = await exchange(port, request(line, token, options), { ms: 15_000 });
    count(found, /\bat .*\.js:|node_modules|postgres|SELECT /i.test(text) ? 'leak' : status);
  };
  const json = (value) => ({ body: JSON.stringify(value) });
  const someEmail = (i) => `nobody-${i}@example.com`;
  await each(hostileTexts, 8, async (text, i) => {
    await send('POST /api/auth/login', json({ email: text, password: 'a long enough password' }));
    await send('POST /api/roles', json({ name: text }));
    await send('POST /api/roles', json({ name: `role ${i}`, description: text }));
    const encoded = encodeURIComponent(text.toWellFormed());
    if (encoded.length < 12_000) await send(`GET /api/roles?search=${encoded}`);
    const control_ = await exchange(carelessPort, request('POST /', undefined, json({ name: text })));
    count(control, control_.status);
  });
  // Each of these costs a password hash.
  await each(
    hostileTexts.filter((_, i) => i % 12 === 0),
    2,
    async (text, i) => {
      await send('POST /api/auth/login', json({ email: someEmail(i), password: text, device_token: text }));
    },
  );
  // In headers, as far as a header can carry them.
  await each(
    hostileTexts.filter((text) => !/[\r\n\0]/.test(text) && text.length < 8_000),
    8,
    async (text) => {
      const bytes = Buffer.from(text.toWellFormed()).latin1Slice();
      await send('GET /api/features', {
        headers: [`X-Correlation-Id: ${bytes}`, `User-Agent: ${bytes}`, `Traceparent: ${bytes}`, `If-Match: ${bytes}`],
      });
    },
  );
  const unexpected = Object.keys(found).filter(
    (status) => status === '0' || status === 'leak' || status.startsWith('5'),
  );
  report.add('No hostile text in any field makes an error of ours or shows anything of the inside', {
    figure: `${hostileTexts.length} texts in sign-in, roles, search and headers: ${sum(found)}`,
    control: `a careless server: ${sum(control)}`,
    isProven: unexpected.length === 0 && (control[500] ?? 0) > 0,
  });
}

async function sizes(token) {
  const lines = (number, text) => Array.from({ length: number }, (_, i) => text(i));
  const json = ['Content-Type: application/json'];
  const cases = {
    '100,000 headers': request('GET /api/features', token, { headers: lines(100_000, (i) => `X-${i}: 1`) }),
    'a header of 64 KB': request('GET /api/features', token, { headers: [`X-A: ${'a'.repeat(65_536)}`] }),
    '10,000 cookies': request('GET /api/features', token, {
      headers: [`Cookie: ${lines(10_000, (i) => `c${i}=1`).join('; ')}`],
    }),
    '100,000 parameters': request(`GET /api/features?${lines(100_000, (i) => `a${i}=1`).join('&')}`, token),
    'a body of 10 MB': request('POST /api/roles', token, { body: `{"name":"${'a'.repeat(10 * 2 ** 20)}"}` }),
    'a body of 10 MB, no token': request('POST /api/auth/login', undefined, {
      body: `{"email":"${'a'.repeat(10 * 2 ** 20)}"}`,
    }),
    'a million levels': request('POST /api/auth/login', undefined, { body: '['.repeat(1_000_000) }),
    'a million objects': request('POST /api/auth/login', undefined, { body: '{"a":'.repeat(1_000_000) }),
    'a compressed body': request('POST /api/auth/login', undefined, {
      headers: ['Content-Encoding: gzip'],
      body: '{}',
    }),
  };
  const found = [];
  for (const [name, bytes] of Object.entries(cases)) {
    const { status, ms } = await exchange(port, bytes, { from: attackerAddress });
    found.push({ name, status, ms: Math.round(ms) });
  }
  const chunked = (line) => `${line} HTTP/1.1\r\nHost: x\r\n${json.join('\r\n')}\r\nTransfer-Encoding: chunked\r\n\r\n`;
  const bounds = { bytesMax: 64 * 2 ** 20, ms: 15_000 };
  const stream = await endless(port, chunked('POST /api/auth/login'), bounds);
  const control = await endless(carelessPort, chunked('POST /'), bounds);
  const isRefused = found.every(({ status }) => [400, 413, 414, 415, 431].includes(status)) && stream.status === 413;
  const taken = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MB`;
  report.add('What is too large is refused before it is held', {
    figure: `${found.map(({ name, status, ms }) => `${name} ${status} in ${ms} ms`).join('; ')}; an endless body ${stream.status} after ${taken(stream.sent)}`,
    control: `a careless server takes ${taken(control.sent)} of the endless body`,
    isProven: isRefused && stream.sent < 8 * 2 ** 20 && control.sent >= bounds.bytesMax,
  });
}

async function slowness(token) {
  const head = 'HTTP/1.1\r\nHost: slow\r\n';
  // A hundred kilobytes and more; with much more it would be the kernel's memory for TCP that is attacked.
  const answer = `GET /api/docs/swagger-ui.css ${head}\r\n`;
  const attacks = [
    { name: 'heads', first: `GET /api/features ${head}X-A: `, drip: 'a', ms: 15_000, boundMs: 10_000 },
    {
      name: 'bodies',
      first: `POST /api/auth/login ${head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{`,
      drip: ' ',
      ms: 15_000,
      boundMs: 12_000,
    },
    {
      name: 'readers',
      first: answer.repeat(2),
      controlFirst: `GET /big ${head}\r\n`,
      isDeaf: true,
      ms: 36_000,
    },
  ];
  for (const { name, controlFirst, ...attack } of attacks) {
    const traffic = steadyTraffic(port, token);
    const [found, control] = await Promise.all([
      hold({ port, pid }, { count: 1_000, ...attack }),
      hold({ port: carelessPort, pid: careless.pid }, { count: 100, ...attack, first: controlFirst ?? attack.first }),
    ]);
    const { bad, count: asked, p50, p99 } = await traffic.stop();
    const cut = attack.isDeaf
      ? `${found.left} of them left after ${attack.ms / 1_000} s`
      : `${found.left} left, the last cut after ${found.lastCutMs} ms`;
    report.add(`1,000 slow ${name} are cut, and others are served meanwhile`, {
      figure: `${found.most} open, ${cut}; ${asked} good requests, ${sum(bad) || 'all answered 200'}, p50 ${p50} ms, p99 ${p99} ms`,
      control: `with Node's defaults ${control.left} of ${control.most} are left`,
      isProven: found.most > 900 && found.left === 0 && Object.keys(bad).length === 0 && asked > 0 && control.left > 0,
    });
  }
}
