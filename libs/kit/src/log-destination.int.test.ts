import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';

const fixture = path.resolve(import.meta.dirname, '..', 'test-fixtures', 'log-lines.mjs');

async function output(ending: string): Promise<string[]> {
  const child = spawn(process.execPath, [fixture, ending], { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await new Promise((resolve) => child.on('close', resolve));
  return text.trimEnd().split('\n');
}

const numberOf = (line: string) => (JSON.parse(line) as { attempt: number }).attempt;

describe('standard output', () => {
  test.each(['returns', 'exits', 'throws'])(
    'has every line in order when the process %s in that turn',
    async (ending) => {
      const lines = (await output(ending)).filter((line) => line.startsWith('{'));
      expect(lines.map(numberOf)).toEqual(Array.from({ length: 1_000 }, (_, i) => i));
    },
  );

  test('is written at the end of the turn and not line by line', async () => {
    const lines = await output('returns');
    expect(lines.indexOf('end of the turn')).toBeGreaterThan(0);
    expect(lines.indexOf('end of the turn')).toBeLessThan(1_000);
  });

  test('whose reader has gone does not end the process', async () => {
    const child = spawn(process.execPath, [fixture, 'unread'], { stdio: ['ignore', 'pipe', 'ignore'] });
    child.stdout.destroy();
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0);
  });

  test('that takes no line, because its disk is full or its reader has gone, does not keep the process from its work', async () => {
    const full = existsSync('/dev/full') ? [openSync('/dev/full', 'w')] : [];
    for (const stdout of [...full, 'pipe' as const]) {
      const child = spawn(process.execPath, [fixture, 'continues'], { stdio: ['ignore', stdout, 'pipe'] });
      let said = '';
      child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
      child.stdout?.destroy();
      const ended = new Promise((resolve) => child.on('close', resolve));
      const patience = setTimeout(() => child.kill('SIGKILL'), 20_000);
      expect([await ended, said]).toEqual([0, 'still serving']);
      clearTimeout(patience);
    }
    for (const fd of full) closeSync(fd);
  }, 60_000);
});
