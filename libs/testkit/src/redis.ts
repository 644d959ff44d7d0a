import { startRedis } from '@prime-nest/devstack/provider-redis';
import { containerRedis, usesContainers } from './containers.js';
import { controllable } from './controllable.js';
import type { TestServer } from './controllable.js';
import { runFolder } from './test-run.js';

export interface TestRedis extends TestServer {
  readonly url: string;
}

/** A Redis server of this test file's own. It forgets everything when it restarts. */
export async function startTestRedis(): Promise<TestRedis> {
  const dataDir = await runFolder('redis');
  const env = { ...process.env, REDIS_URL: undefined };
  const server = await controllable(async (port) =>
    (await usesContainers()) ? containerRedis(port) : startRedis({ dataDir, port, env }),
  );
  return { ...server, url: `redis://127.0.0.1:${server.port}` };
}
