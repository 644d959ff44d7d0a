import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { query } from '@prime-nest/testkit/query';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { identify } from './process-identity.js';
import type { SystemState } from './state.js';
import { waitUntil } from './wait.js';

/** The launcher is under test, not the services: these answer their health check and say which variables they see. */
const standIn = `
const say = (msg) => console.log(JSON.stringify({ level: 'info', time: new Date().toISOString(), msg, env: Object.keys(process.env) }));
const server = require('node:http').createServer((_, response) => response.end('ready'));
server.listen(Number(process.env.PORT ?? process.env.HEALTH_PORT), '127.0.0.1', () => say('service.started'));
process.on('SIGTERM', () => { say('service.stopped'); process.exit(0); });
`;

const folder = mkdtempSync(path.join(os.tmpdir(), 'prime nest launcher '));
const home = path.join(folder, 'home');
const services = path.join(folder, 'services');
const launchers: ChildProcess[] = [];

beforeAll(() => {
  chmodSync(folder, 0o711);
  for (const service of ['gateway', 'identity', 'rbac', 'audit']) {
    const dist = path.join(services, service, 'dist');
    mkdirSync(dist, { recursive: true });
    writeFileSync(path.join(dist, 'main.js'), standIn);
    for (const program of ['migrate', 'seed']) writeFileSync(path.join(dist, `${program}.js`), '');
  }
});

afterEach(async () => {
  for (const launcher of launchers.splice(0)) {
    if (launcher.exitCode !== null || launcher.signalCode !== null) continue;
    launcher.kill('SIGTERM');
    await once(launcher, 'exit');
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Launcher {
  readonly process: ChildProcess;
  readonly exited: Promise<number | null>;
  readonly output: string[];
}

function run(args: string[], env: Record<string, string> = {}): Launcher {
  const cli = path.resolve(import.meta.dirname, '../dist/cli.js');
  const child = spawn(process.execPath, [cli, ...args], {
    env: { PATH: process.env['PATH'], PORT: '0', PRIME_NEST_HOME: home, DEVSTACK_SERVICES: services, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  launchers.push(child);
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on('line', (l) => output.push(l));
  return { process: child, output, exited: once(child, 'close').then(([code]) => code as number | null) };
}

async function startedWith(
  env: Record<string, string> = {},
  args: string[] = [],
): Promise<Launcher & { state: SystemState }> {
  const launcher = run(['start', '--json', ...args], env);
  const state = await waitUntil(
    () => {
      const line = launcher.output.find((text) => text.startsWith('{"event":"ready"'));
      if (line === undefined) throw new Error(launcher.output.join('\n'));
      return (JSON.parse(line) as { state: SystemState }).state;
    },
    { deadlineMs: 50_000, what: 'the launcher to be ready' },
  );
  return { ...launcher, state };
}

const stop = async (launcher: Launcher): Promise<number | null> => {
  launcher.process.kill('SIGTERM');
  return launcher.exited;
};
const currentState = (): SystemState => JSON.parse(readFileSync(path.join(home, 'state.json'), 'utf8')) as SystemState;
const alive = (pids: Readonly<Record<string, number>>): string[] =>
  Object.keys(pids).filter((name) => identify(pids[name] as number) !== undefined);

describe('npm start', () => {
  test('starts everything, stops everything when told, and keeps the data for the next start', async () => {
    const first = await startedWith({ ADMIN_EMAIL: 'root@example.org' });
    expect(alive(first.state.pids).sort()).toEqual([
      'audit',
      'gateway',
      'identity',
      'nats',
      'postgres',
      'rbac',
      'redis',
    ]);
    expect(await (await fetch(`${first.state.gatewayUrl}/health/readiness`)).text()).toBe('ready');
    await query(first.state.databaseUrl, 'CREATE TABLE audit.kept AS SELECT 42 AS answer');
    expect(await stop(first)).toBe(0);
    expect(alive(first.state.pids)).toEqual([]);
    expect(existsSync(path.join(home, 'state.json'))).toBe(false);

    const second = await startedWith();
    expect(second.state.adminEmail).toBe('root@example.org');
    expect(await query(second.state.databaseUrl, 'SELECT answer FROM audit.kept')).toEqual([{ answer: 42 }]);
  });

  test('gives each service its own variables: the gateway gets no database address and no key', async () => {
    const { state } = await startedWith({
      RATE_LIMIT_ANONYMOUS_MAX: '7',
      LOCKOUT_MAX_ATTEMPTS: '3',
      HOME: '/somewhere',
    });
    const seen = (name: string): string[] => {
      const lines = readFileSync(path.join(home, 'logs', `${name}.log`), 'utf8')
        .trim()
        .split('\n');
      return (JSON.parse(lines.at(-1) as string) as { env: string[] }).env;
    };
    expect(Object.keys(state.health)).toEqual(['gateway', 'identity', 'rbac', 'audit']);
    expect(seen('gateway')).toEqual(
      expect.arrayContaining(['RATE_LIMIT_ANONYMOUS_MAX', 'REDIS_URL', 'NATS_NKEY_SEED']),
    );
    // Its own key to the bus, what it checks the log with, and no other.
    expect(seen('gateway').filter((name) => /_DB_|KEY|LOCKOUT|HOME/.test(name))).toEqual([
      'NATS_NKEY_SEED',
      'AUDIT_PUBLIC_KEY_FILE',
    ]);
    expect(seen('identity')).toEqual(
      expect.arrayContaining(['LOCKOUT_MAX_ATTEMPTS', 'PRIVATE_KEY_FILE', 'IDENTITY_DB_URL']),
    );
    expect(seen('rbac').filter((name) => /KEY|REDIS|IDENTITY|AUDIT|TOKEN/.test(name))).toEqual([
      'NATS_NKEY_SEED',
      'AUDIT_PUBLIC_KEY_FILE',
    ]);
  });

  test('keeps secrets in files that only we can read, and shows none but the first password', async () => {
    rmSync(home, { recursive: true, force: true });
    const { state, output } = await startedWith();
    for (const file of [
      'state.json',
      'launcher.json',
      'admin-password',
      'secrets/private.pem',
      'secrets/passwords.json',
    ]) {
      expect([file, statSync(path.join(home, file)).mode & 0o777]).toEqual([file, 0o600]);
    }
    expect(readFileSync(state.adminPasswordFile, 'utf8').length).toBeGreaterThanOrEqual(12);
    expect(output.join()).not.toContain('PRIVATE KEY');
  });

  test('shows the running system to a second start, which then exits with 0', async () => {
    const { state } = await startedWith();
    const second = run(['start']);
    expect(await second.exited).toBe(0);
    expect(second.output.join('\n')).toMatch(new RegExp(`API: +${state.apiUrl}`));
    expect(alive(state.pids)).toHaveLength(7);
  });

  test('starts a killed service again and notes its new process', async () => {
    const { state, output } = await startedWith({}, ['--replicas', 'rbac=2']);
    const victim = state.pids['rbac-2'] as number;
    process.kill(victim, 'SIGKILL');
    await waitUntil(() => expect(output.join('\n')).toContain('rbac-2 is ready again'), {
      deadlineMs: 20_000,
      what: 'the restart',
    });
    expect(currentState().pids['rbac-2']).not.toBe(victim);
    expect(currentState().pids['rbac-1']).toBe(state.pids['rbac-1']);
  });

  test('leaves nothing running when it is killed, and the next start works', async () => {
    const { state, process: launcher } = await startedWith();
    launcher.kill('SIGKILL');
    await waitUntil(() => expect(alive(state.pids)).toEqual([]), { deadlineMs: 20_000, what: 'no orphan' });
    const next = await startedWith();
    expect(alive(next.state.pids)).toHaveLength(7);
  });

  test('names a busy port and takes another', async () => {
    const blocker = createServer().listen(0, '127.0.0.1');
    await once(blocker, 'listening');
    const { port } = blocker.address() as AddressInfo;
    try {
      const { state, output } = await startedWith({ PORT: String(port) });
      expect(output.join('\n')).toContain(`port ${port} is busy: gateway listens on ${state.ports['gateway']}`);
    } finally {
      blocker.close();
    }
  });

  test('fails with the last lines of a service that cannot start, and stops the rest', async () => {
    const broken = path.join(folder, 'broken');
    for (const service of ['gateway', 'identity', 'rbac', 'audit']) {
      mkdirSync(path.join(broken, service, 'dist'), { recursive: true });
      const main = service === 'rbac' ? `console.log('RBAC_X is missing'); process.exit(78);` : standIn;
      for (const [program, text] of [
        ['main', main],
        ['migrate', ''],
        ['seed', ''],
      ] as const) {
        writeFileSync(path.join(broken, service, 'dist', `${program}.js`), text);
      }
    }
    const launcher = run(['start'], { DEVSTACK_SERVICES: broken });
    expect(await launcher.exited).toBe(1);
    expect(launcher.output.join('\n')).toMatch(/rbac: rbac ended while starting.*\(exit 78\).*\n.*RBAC_X is missing/);
    expect(existsSync(path.join(home, 'launcher.json'))).toBe(false);
  });
});

describe('npm run reset', () => {
  test('refuses while the system runs and without a yes; then removes what is ours and nothing else', async () => {
    const launcher = await startedWith();
    writeFileSync(path.join(home, 'mine.txt'), 'kept');
    const early = run(['reset', '--yes']);
    expect(await early.exited).toBe(1);
    expect(early.output.join()).toContain('stop it first');
    await stop(launcher);
    expect(await run(['reset']).exited).toBe(1);
    expect(existsSync(path.join(home, 'secrets'))).toBe(true);
    const agreed = run(['reset', '--yes']);
    expect(await agreed.exited).toBe(0);
    expect(agreed.output.join()).toContain(home);
    expect(existsSync(path.join(home, 'secrets'))).toBe(false);
    expect(readFileSync(path.join(home, 'mine.txt'), 'utf8')).toBe('kept');
  });
});
