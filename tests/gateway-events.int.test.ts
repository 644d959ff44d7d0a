import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { RunningSystem } from '@prime-nest/devstack/start-system';
import { eventually } from '@prime-nest/testkit/eventually';
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { type Call, type JsonObject, items, logIn } from './rest-client.js';
import { startTestSystem } from './test-system.js';

const limit = 60;
const verifier = fileURLToPath(new URL('../services/audit/dist/verify-log.js', import.meta.url));
let system: RunningSystem;
let call: Call;
let admin: string;
let stop: () => Promise<void>;
let database: pg.Client;

beforeAll(async () => {
  const env = { RATE_LIMIT_ANONYMOUS_MAX: String(limit), TRUSTED_PROXY_HOPS: '1' };
  ({ system, call, admin, stop } = await startTestSystem({ env }));
  database = new pg.Client({ connectionString: system.state.databaseUrl });
  await database.connect();
}, 180_000);
afterAll(async () => {
  await database?.end();
  await stop?.();
}, 60_000);

const from = (ip: string) => ({ 'x-forwarded-for': ip });
const search = async (filter: string) => items(await call('GET', `/api/audit/events?${filter}`, { token: admin }));
const find = (filter: string) =>
  eventually(async () => {
    const [event, ...others] = await search(filter);
    expect(others).toEqual([]);
    return event ?? false;
  });
const after = (event: JsonObject) => (event['change'] as { after?: JsonObject } | undefined)?.after;
const countOf = (event: JsonObject) => (after(event)?.['rollUp'] as { count: number } | undefined)?.count ?? 1;

/** How many requests from the address the log says were refused by a limit. */
async function limitedCount(ip: string): Promise<number> {
  const events = await search('type=gateway.rate.limited.v1&limit=200');
  return events.filter((event) => event['ip'] === ip).reduce((sum, event) => sum + countOf(event), 0);
}

/** Sends requests without a token until `isOver`, some at a time, and counts what was answered with 429. */
async function flood(ip: string, isOver: (sent: number) => boolean): Promise<{ limited: number; unanswered: number }> {
  let [sent, limited, unanswered] = [0, 0, 0];
  const worker = async () => {
    while (!isOver(sent)) {
      sent++;
      const answer = await call('GET', '/api/roles', { headers: from(ip) }).catch(() => undefined);
      if (answer?.status === 429) limited++;
      if (answer === undefined) unanswered++;
    }
  };
  await Promise.all(Array.from({ length: 20 }, worker));
  return { limited, unanswered };
}

/** Sends so many requests over one connection and answers how many were answered with 429. */
async function pipelined(count: number, ip: string): Promise<number> {
  const { hostname, port } = new URL(system.gatewayUrl);
  const socket = connect(Number(port), hostname);
  const request = `GET /api/roles HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: ${ip}\r\n\r\n`;
  const statuses: string[] = [];
  let rest = '';
  socket.on('data', (data: Buffer) => {
    const text = rest + data.toString('latin1');
    statuses.push(...[...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status ?? ''));
    // Shorter than a status line: none is seen twice, none is missed.
    const last = text.lastIndexOf('HTTP/1.1 ');
    rest = last !== -1 && text.length - last < 13 ? text.slice(last) : text.slice(-8);
  });
  for (let sent = 0; sent < count; sent += 50) {
    socket.write(request.repeat(Math.min(50, count - sent)));
    await eventually(() => statuses.length >= sent, { intervalMs: 1 });
  }
  await eventually(() => statuses.length === count);
  socket.destroy();
  return statuses.filter((status) => status === '429').length;
}

/** Ids of the events that are on the gateway's disk, by epoch. */
function onDisk(): Map<string, string[]> {
  const root = path.join(system.state.home, 'spool');
  const epochs = readdirSync(root).filter((name) => /^[0-9a-f-]{36}$/.test(name));
  return new Map(
    epochs.map((epoch) => {
      const files = readdirSync(path.join(root, epoch))
        .filter((name) => name.endsWith('.records'))
        .sort();
      const lines = files.flatMap((file) =>
        readFileSync(path.join(root, epoch, file), 'utf8')
          .split('\n')
          .slice(0, -1),
      );
      return [epoch, lines.map((line) => (JSON.parse(line.slice(9)) as [string])[0])];
    }),
  );
}

describe('a refused request', () => {
  test('for want of a permission is in the audit log under its trace and its account', async () => {
    const email = `${randomUUID()}@example.com`;
    const password = 'never allowed anything 1';
    const created = await call('POST', '/api/users', { token: admin, body: { email, name: 'Denied', password } });
    const token = await logIn(call, email, password);
    const refused = await call('GET', '/api/roles', {
      token,
      headers: { ...from('192.0.2.1'), 'user-agent': 'a test' },
    });
    expect(refused.status).toBe(403);
    const event = await find(`traceId=${refused.traceId}&type=gateway.access.denied.v1`);
    expect(event).toMatchObject({
      source: 'gateway',
      outcome: 'denied',
      reasonCode: 'forbidden',
      actor: { type: 'user', id: created.body['id'] },
      resource: { type: 'route', id: 'GET /api/roles' },
      correlationId: refused.correlationId,
      ip: '192.0.2.1',
      userAgent: 'a test',
    });
    const byActor = await search(`actorId=${String(created.body['id'])}&type=gateway.access.denied.v1`);
    expect(byActor.map(({ id }) => id)).toEqual([event['id']]);
    // The control: what was allowed is no refusal.
    const allowed = await call('GET', '/api/roles', { token: admin });
    expect(await search(`traceId=${allowed.traceId}&type=gateway.access.denied.v1`)).toEqual([]);
  });

  test('with a bad token is recorded without the token', async () => {
    const token = `${admin.slice(0, -4)}AAAA`;
    const refused = await call('GET', '/api/roles', { token });
    expect(refused.status).toBe(401);
    const event = await find(`traceId=${refused.traceId}`);
    expect(event).toMatchObject({
      type: 'gateway.token.rejected.v1',
      reasonCode: 'token_invalid',
      actor: { type: 'anonymous' },
    });
    const [row] = (
      await database.query<{ entry: Buffer }>('SELECT entry FROM audit.event WHERE event_id = $1', [event['id']])
    ).rows;
    for (const part of token.split('.')) expect(row?.entry.toString('utf8')).not.toContain(part.slice(0, 20));
  });

  test('of a flood of five thousand is counted exactly, in a few entries', async () => {
    const ip = '198.51.100.7';
    const limited = await pipelined(5_000, ip);
    expect(limited).toBe(5_000 - limit);
    await eventually(async () => expect(await limitedCount(ip)).toBe(limited));
    const entries = (await search('type=gateway.rate.limited.v1&limit=200')).filter((event) => event['ip'] === ip);
    expect(entries.length).toBeLessThan(40);
  }, 120_000);
});

describe('a gateway that is killed in the middle of a flood', () => {
  test('has every event that was on its disk in the log, once, without a gap', async () => {
    const kinds = Array.from({ length: 30 }, (_, i) => `203.0.113.${i}`);
    let isDead = false;
    // Many networks, so that there are many lines; each beyond its limit at once.
    const floods = kinds.map((ip) => flood(ip, () => isDead));
    await eventually(() => [...onDisk().values()].flat().length > 60, { deadlineMs: 60_000 });
    await system.service('gateway').kill('SIGKILL');
    const disk = onDisk();
    isDead = true;
    await Promise.all(floods);
    const ids = [...disk.values()].flat();
    expect(ids.length).toBeGreaterThan(60);

    await eventually(
      async () => {
        const { rows } = await database.query<{ event_id: string; times: string }>(
          'SELECT event_id, count(*) AS times FROM audit.event WHERE event_id = ANY($1::uuid[]) GROUP BY event_id',
          [ids],
        );
        expect(rows.filter(({ times }) => times !== '1')).toEqual([]);
        expect(rows.length).toBe(ids.length);
      },
      { deadlineMs: 60_000 },
    );
    // The next life of the gateway counts anew; what the first one had left went out under the first one's numbers.
    await eventually(
      async () => {
        const { rows } = await database.query<{ epoch: string; last: string; numbers: string }>(
          `SELECT epoch, max(source_seq) AS last, count(DISTINCT source_seq) AS numbers FROM audit.event
            WHERE source = 'gateway' GROUP BY epoch`,
        );
        expect(rows.filter(({ last, numbers }) => last !== numbers)).toEqual([]);
        expect(rows.map(({ epoch }) => epoch)).toEqual(expect.arrayContaining([...disk.keys()]));
        expect(rows.length).toBeGreaterThan(disk.size);
      },
      { deadlineMs: 60_000 },
    );
    // And goes from the disk when the signed log has proven it, as the checkpoint shows that is kept for the next time.
    await eventually(() => [...disk.keys()].every((epoch) => !onDisk().has(epoch)), { deadlineMs: 60_000 });
    expect(readdirSync(path.join(system.state.home, 'spool'))).toContain('proven-checkpoint');
  }, 180_000);
});

describe('while NATS is away', () => {
  test('refusals are kept, and are in the log when it is back; the log verifies', async () => {
    await eventually(async () => (await call('GET', '/api/roles', { token: admin })).status === 200);
    const kept = await fetch(`${system.gatewayUrl}/api/audit/checkpoint`);
    expect(kept.status).toBe(200);
    const keptFile = path.join(system.state.home, 'kept');
    writeFileSync(keptFile, await kept.text());
    await system.server('nats').stop();
    const refused = await call('GET', '/api/roles', { headers: from('192.0.2.9') });
    expect(refused.status).toBe(401);
    await system.server('nats').start();
    await eventually(async () => (await call('GET', '/api/roles', { token: admin })).status === 200, {
      deadlineMs: 60_000,
    });
    expect(await find(`traceId=${refused.traceId}`)).toMatchObject({
      type: 'gateway.token.rejected.v1',
      reasonCode: 'token_missing',
      ip: '192.0.2.9',
    });
    const verified = spawnSync(process.execPath, [verifier, 'database', '--kept', keptFile], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], AUDIT_DB_URL: system.state.databaseUrl },
    });
    expect([verified.status, verified.stdout, verified.stderr]).toEqual([0, expect.any(String), expect.any(String)]);
  }, 180_000);
});
