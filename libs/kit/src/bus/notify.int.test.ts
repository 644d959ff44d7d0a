import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { NatsConnection } from '@nats-io/transport-node';
import { startNats } from '@prime-nest/devstack/provider-nats';
import { controllable } from '@prime-nest/testkit/controllable';
import type { TestServer } from '@prime-nest/testkit/controllable';
import { eventually } from '@prime-nest/testkit/eventually';
import { runFolder } from '@prime-nest/testkit/test-run';
import { z } from 'zod';
import { silentLogger } from '../log.js';
import { connectBus } from './connection.js';
import { publishNotify, subscribeNotify } from './notify.js';

const log = silentLogger();
const open: NatsConnection[] = [];
let nats: TestServer;

beforeAll(async () => {
  const dataDir = await runFolder('kit-notify');
  nats = await controllable((port) => startNats({ dataDir, port, env: { ...process.env, NATS_URL: undefined } }));
});
afterEach(() => Promise.all(open.splice(0).map((connection) => connection.close())));
afterAll(() => nats.stop());

async function link(): Promise<NatsConnection> {
  const connection = await connectBus({ servers: `nats://127.0.0.1:${String(nats.port)}`, name: 'demo', log });
  open.push(connection);
  return connection;
}

describe('a notification', () => {
  test('reaches every listener, malformed ones none, and a failing handler does not end the listening', async () => {
    const schema = z.object({ n: z.int() });
    const connection = await link();
    const seen: number[][] = [[], []];
    for (const list of seen) {
      const subscription = await subscribeNotify({
        connection: await link(),
        subject: 'notify.demo.thing.v1',
        schema,
        log,
        onNotify: ({ n }) => {
          list.push(n);
          if (n === 1) throw new Error('handler');
        },
      });
      await subscription.check();
    }
    publishNotify(connection, 'notify.demo.thing.v1', schema, { n: 1 });
    connection.publish('notify.demo.thing.v1', '{"n":"x"}');
    connection.publish('notify.demo.thing.v1', '{');
    publishNotify(connection, 'notify.demo.thing.v1', schema, { n: 2 });
    await eventually(() => seen.every((list) => list.includes(2)));
    expect(seen).toEqual([
      [1, 2],
      [1, 2],
    ]);
  });
});
