import { afterEach, describe, expect, test } from '@jest/globals';
import { startHealth } from './health.js';
import type { Health, HealthChecks } from './health.js';
import { silentLogger } from './log.js';

let health: Health | undefined;
afterEach(async () => {
  await health?.close();
});

async function get(path: string): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`http://127.0.0.1:${String(health?.port)}${path}`);
  return { status: response.status, body: await response.json() };
}

async function start(checks: HealthChecks): Promise<Health> {
  health = await startHealth({ host: '127.0.0.1', port: 0, checks, log: silentLogger() });
  return health;
}

const passes = () => Promise.resolve();
const fails = () => Promise.reject(new Error('canary: host and port of something'));

describe('readiness', () => {
  test('is 200 while every check passes', async () => {
    await start({ database: passes, bus: passes });
    expect(await get('/health/readiness')).toEqual({ status: 200, body: { status: 'ready', failing: [] } });
  });

  test('is 503 with the names of the failing checks and not their reasons; liveness does not care', async () => {
    await start({ database: fails, bus: passes, never: () => new Promise(() => undefined) });
    expect(await get('/health/readiness')).toEqual({
      status: 503,
      body: { status: 'not_ready', failing: ['database', 'never'] },
    });
    expect((await get('/health/liveness')).status).toBe(200);
  });

  test('follows its checks both ways', async () => {
    let isUp = false;
    await start({ bus: () => (isUp ? passes() : fails()) });
    expect((await get('/health/readiness')).status).toBe(503);
    isUp = true;
    expect((await get('/health/readiness')).status).toBe(200);
  });

  test('is 503 from the moment a stop begins, while liveness stays 200', async () => {
    (await start({ bus: passes })).drain();
    expect(await get('/health/readiness')).toEqual({ status: 503, body: { status: 'draining', failing: [] } });
    expect((await get('/health/liveness')).status).toBe(200);
  });

  test('survives a check that throws before it returns a promise', async () => {
    await start({
      odd: () => {
        throw new Error('x');
      },
    });
    expect((await get('/health/readiness')).status).toBe(503);
    expect((await get('/nowhere')).status).toBe(404);
  });
});
