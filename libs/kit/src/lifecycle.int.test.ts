import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { eventually } from '@prime-nest/testkit/eventually';

const fixtures = path.resolve(import.meta.dirname, '..', 'test-fixtures');

interface Run {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly exit: Promise<number | null>;
}

function run(name: string): Run {
  const child = spawn(process.execPath, [path.join(fixtures, 'lifecycle-case.mjs'), name], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const exit = new Promise<number | null>((resolve) => {
    child.on('close', (code) => {
      resolve(code);
    });
  });
  return { child, output: () => text, exit };
}

async function up(name: string, sign = 'up\n'): Promise<Run> {
  const started = run(name);
  await eventually(() => started.output().includes(sign));
  return started;
}

describe('a service process', () => {
  test('with a bad configuration prints every problem, no value, and exits 78', async () => {
    const { exit, output } = run('config');
    expect(await exit).toBe(78);
    expect(output()).toContain('DEMO_A is required');
    expect(output()).toContain('DEMO_B must be a number');
    expect(output()).not.toContain('canary-value');
  });

  test('that cannot start logs why and exits 1', async () => {
    const { exit, output } = run('start-fails');
    expect(await exit).toBe(1);
    expect(output()).toContain('service.start_failed');
  });

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'told to stop by %s says so first, stops its parts in reverse order and exits 0',
    async (signal) => {
      const { child, exit, output } = await up('clean');
      child.kill(signal);
      expect(await exit).toBe(0);
      const said = output()
        .split('\n')
        .filter((line) => /^(drain|stop) /.test(line));
      expect(said).toEqual(['drain true', 'stop second', 'stop first']);
    },
  );

  test('whose part fails to stop still stops the others, and exits 1', async () => {
    const { child, exit, output } = await up('stop-fails');
    child.kill('SIGTERM');
    expect(await exit).toBe(1);
    expect(output()).toContain('stop first');
  });

  test('that overruns its deadline names the part it waits for and exits 1', async () => {
    const { child, exit, output } = await up('overrun');
    child.kill('SIGTERM');
    expect(await exit).toBe(1);
    expect(output()).toMatch(/"waitingFor":"slow".*service\.stop_overrun/);
  });

  test('told to stop twice exits 130 at once', async () => {
    const { child, exit, output } = await up('twice');
    child.kill('SIGTERM');
    await eventually(() => output().includes('stopping\n'));
    child.kill('SIGTERM');
    expect(await exit).toBe(130);
  });

  test('told to stop while it still starts exits 0', async () => {
    const { child, exit } = await up('never-starts', 'waiting\n');
    child.kill('SIGTERM');
    expect(await exit).toBe(0);
  });

  test.each([
    ['rejection', 'process.unhandled_rejection'],
    ['exception', 'process.uncaught_exception'],
  ])('with an unhandled %s logs %s and exits 1', async (name, event) => {
    const { exit, output } = run(name);
    expect(await exit).toBe(1);
    expect(output()).toContain(event);
  });
});
