import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@prime-nest/testkit/eventually';
import { startTestNats } from '@prime-nest/testkit/nats';
import type { TestNats } from '@prime-nest/testkit/nats';
import { createTestDatabase } from '@prime-nest/testkit/postgres';
import { query } from '@prime-nest/testkit/query';
import { startTestRedis } from '@prime-nest/testkit/redis';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { createConnection } from 'node:net';
import { once } from 'node:events';

class CreateThing {
  readonly name = 'CreateThing1700000000000';
  async up(runner: { query(sql: string): Promise<unknown> }): Promise<void> {
    await runner.query('CREATE TABLE thing (id int PRIMARY KEY)');
    await runner.query('GRANT SELECT, INSERT ON thing TO rbac');
  }
  async down(): Promise<void> {}
}

describe('createTestDatabase', () => {
  test('two databases of one service share nothing, and each is gone after drop', async () => {
    const [one, two] = await Promise.all([
      createTestDatabase({ service: 'rbac', migrations: [CreateThing] }),
      createTestDatabase({ service: 'rbac', migrations: [CreateThing] }),
    ]);
    await query(one.url, 'INSERT INTO rbac.thing VALUES (1)');
    expect(await query(one.url, 'SELECT id FROM rbac.thing')).toEqual([{ id: 1 }]);
    expect(await query(two.url, 'SELECT id FROM rbac.thing')).toEqual([]);
    await expect(query(one.url, 'DELETE FROM rbac.thing')).rejects.toThrow('permission denied');
    await Promise.all([one.drop(), two.drop()]);
    await expect(query(one.url, 'SELECT 1')).rejects.toThrow('does not exist');
  });
});

describe('startTestNats', () => {
  let nats: TestNats;
  const open = (user: Parameters<TestNats['plain']>[0]): Promise<NatsConnection> =>
    connect({ ...nats.plain(user), timeout: 2000 });
  beforeAll(async () => void (nats = await startTestNats()));
  afterAll(() => nats.stop());

  test('every user may do what its contracts say and nothing else', async () => {
    const identity = await open('identity');
    const denied: string[] = [];
    void (async () => {
      for await (const status of identity.status()) if (status.type === 'error') denied.push(String(status.error));
    })();
    identity.subscribe('identity.session.login.v1', { queue: 'identity', callback: () => undefined });
    await identity.flush();
    expect(denied).toEqual([]);
    identity.subscribe('>', { callback: () => undefined });
    identity.publish('evt.rbac.role.created.v1');
    await identity.flush();
    await eventually(() => denied.length >= 2);
    expect(denied.join()).toContain('Permissions Violation for Subscription to ">"');
    expect(denied.join()).toContain('Permissions Violation for Publish to "evt.rbac.role.created.v1"');
    await identity.close();
  });

  test('a client without credentials is refused', async () => {
    await expect(connect({ servers: nats.servers, reconnect: false })).rejects.toThrow(/authoriz/i);
  });

  test('a killed server comes back on its port with its streams', async () => {
    await nats.kill();
    await expect(open('provisioner')).rejects.toThrow();
    await nats.restart();
    const connection = await open('provisioner');
    const manager = await jetstreamManager(connection, { checkAPI: false });
    expect((await manager.streams.info('EVENTS')).config.subjects).toEqual(['evt.>']);
    await connection.close();
  });

  test('a paused server answers nothing until it is resumed', async () => {
    const connection = await open('gateway');
    nats.pause();
    let flushed = false;
    const flush = connection.flush().then(() => (flushed = true));
    await expect(open('identity')).rejects.toThrow();
    expect(flushed).toBe(false);
    nats.resume();
    await flush;
    await connection.close();
  });
});

describe('startTestRedis', () => {
  test('answers on its own port and stops when asked', async () => {
    const redis = await startTestRedis();
    const socket = createConnection({ host: '127.0.0.1', port: redis.port });
    socket.write('PING\r\n');
    expect(String((await once(socket, 'data'))[0])).toBe('+PONG\r\n');
    const closed = once(socket, 'close');
    await redis.stop();
    await closed;
  });
});
