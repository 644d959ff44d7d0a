import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { expect, test } from '@jest/globals';

const root = path.resolve(import.meta.dirname, '..');

/** What the command says about known vulnerabilities when the registry answers its question like this. */
async function askedOf(status: number, body: string) {
  const registry = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(status, { 'content-type': 'application/json' }).end(body));
  });
  registry.listen(0, '127.0.0.1');
  await once(registry, 'listening');
  const url = `http://127.0.0.1:${String((registry.address() as AddressInfo).port)}/`;
  try {
    const env = { ...process.env, npm_config_registry: url, npm_config_fetch_retries: '0' };
    const child = spawn(process.execPath, ['scripts/supply-chain.mjs'], { cwd: root, env });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, said: /^known vulnerabilities: .*$/m.exec(said)?.[0] };
  } finally {
    registry.close();
    registry.closeAllConnections();
  }
}

test('a registry that refuses the question is no clean bill', async () => {
  const { code, said } = await askedOf(405, '');
  expect(said).toContain('known vulnerabilities: UNKNOWN');
  expect(code).toBe(2);
});

test('a registry that knows of none is one (control)', async () => {
  expect(await askedOf(200, '{}')).toEqual({
    code: 0,
    said: 'known vulnerabilities: 0 critical, 0 high, 0 moderate, 0 low',
  });
});
