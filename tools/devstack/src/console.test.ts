import { describe, expect, test } from '@jest/globals';
import { createLogView } from './log-view.js';
import { parseReplicas } from './service-plan.js';
import type { SystemState } from './state.js';
import { summary } from './summary.js';

const state: SystemState = {
  home: '/srv/prime nest',
  startedAt: '2026-01-01T00:00:00.000Z',
  gatewayUrl: 'http://127.0.0.1:3000',
  apiUrl: 'http://127.0.0.1:3000/api',
  natsUrl: 'nats://127.0.0.1:46422',
  databaseUrl: 'postgres://postgres:hush@127.0.0.1:46432/prime_nest',
  redisUrl: 'redis://:hush@127.0.0.1:46379',
  adminEmail: 'admin@prime-nest.local',
  adminPasswordFile: '/srv/prime nest/admin-password',
  pids: {},
  ports: {},
  health: {},
  metrics: { gateway: 'http://127.0.0.1:9464/metrics' },
  servers: { postgres: 'PostgreSQL 18.4 (npm package)', nats: 'NATS 2.12.1', redis: 'Redis 7.0.15' },
};

describe('summary', () => {
  test('aligns the addresses, masks passwords and says what to do next', () => {
    const text = summary(state, { colour: false });
    expect(text).toContain('  API:       http://127.0.0.1:3000/api\n');
    expect(text).toContain('  Swagger:   http://127.0.0.1:3000/api/docs\n');
    expect(text).toContain('  Postgres:  postgres://postgres:***@127.0.0.1:46432/prime_nest');
    expect(text).toContain('  Data:      /srv/prime nest (kept between starts');
    expect(text).toContain('npm run demo');
    expect(text).not.toContain('hush');
  });

  test('shows the password of the administrator only while it is new', () => {
    expect(summary(state, { colour: false, newAdminPassword: 'first-time' })).toContain('first-time  (shown this once');
    expect(summary(state, { colour: false })).toContain('Password:  in /srv/prime nest/admin-password');
  });
});

describe('the combined log', () => {
  const view = createLogView(false);

  test('shows who, when, how bad, what, and the fields on one line', () => {
    const entry = {
      level: 'warn',
      time: '2026-01-01T10:20:30.400Z',
      service: 'rbac',
      correlationId: 'c',
      traceId: '3b1445ce28498dd741092acd4157f93c',
      msg: 'rpc.served',
      subject: 'rbac.access.decide.v1',
      durationMs: 1.5,
    };
    expect(view('rbac-2', JSON.stringify(entry))).toMatch(
      /^rbac-2 {5}\[\d\d:20:30\.400\] WARN: rpc\.served subject=rbac\.access\.decide\.v1 durationMs=1\.5 trace=3b1445ce$/,
    );
  });

  test('shows an error with its stack', () => {
    const err = { message: 'broken', stack: 'Error: broken\n    at here (file.js:1:2)' };
    const text = view('rbac', JSON.stringify({ level: 'error', time: '2026-01-01T10:20:30.400Z', msg: 'bug', err }));
    expect(text).toMatch(/ERROR: bug error="broken" \n {4}at here \(file\.js:1:2\)$/);
  });

  test('shows nothing that could steer a terminal', () => {
    const sneaky = '\u001b[2Jplain';
    const entry = { level: 'info', time: '2026-01-01T10:20:30.400Z', msg: sneaky, path: sneaky };
    for (const text of [view('rbac', sneaky), view('rbac', JSON.stringify(entry))]) {
      expect(text).toContain('plain');
      expect(text).not.toMatch(/\p{Cc}/u);
    }
  });
});

describe('--replicas', () => {
  test('reads counts per service', () => {
    expect(parseReplicas('rbac=3,audit=2')).toEqual({ rbac: 3, audit: 2 });
    expect(parseReplicas('')).toEqual({});
  });

  test.each(['rbac', 'rbac=0', 'rbac=x', 'mail=2', 'rbac=21'])('refuses %s and says what is possible', (text) => {
    expect(() => parseReplicas(text)).toThrow('write <service>=<1..20>');
  });
});
