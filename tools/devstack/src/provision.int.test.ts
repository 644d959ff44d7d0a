import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { connect, nanos, type NatsConnection } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { natsConfig } from './nats-config.js';
import { busCredentials, newBusSeeds, publicKeys } from './nats-keys.js';
import { startNats } from './provider-nats.js';
import { busAuthenticator } from '@prime-nest/kit/bus/connection';
import { wantedConsumer, wantedStream } from '@prime-nest/kit/bus/streams';
import { provisionStreams } from './provision.js';
import type { RunningServer } from './server.js';

const seeds = newBusSeeds();
let folder: string;
let server: RunningServer;
let connection: NatsConnection;
let manager: JetStreamManager;
const provision = () => provisionStreams(busCredentials('provisioner', server.url, seeds));

beforeEach(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'devstack provision '));
  server = await startNats({
    dataDir: folder,
    port: 0,
    env: { ...process.env, NATS_URL: undefined },
    configText: (place) => natsConfig({ ...place, users: publicKeys(seeds) }),
  });
  const { servers, nkeySeed } = busCredentials('provisioner', server.url, seeds);
  const authenticator = busAuthenticator(nkeySeed);
  connection = await connect({ servers, authenticator, inboxPrefix: '_INBOX.provisioner' });
  manager = await jetstreamManager(connection, { checkAPI: false });
});
afterEach(async () => {
  await connection.close();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('provisionStreams', () => {
  test('makes the stream and the consumer as wanted, and changes nothing the second time', async () => {
    await provision();
    const stream = await manager.streams.info('EVENTS');
    expect(stream.config).toMatchObject({ ...wantedStream, subjects: ['evt.>'] });
    expect((await manager.consumers.info('EVENTS', 'audit-sequencer')).config).toMatchObject(wantedConsumer);
    await provision();
    expect((await manager.streams.info('EVENTS')).created).toBe(stream.created);
  });

  test('brings a stream to the wanted settings where the server allows it', async () => {
    await manager.streams.add({
      ...wantedStream,
      subjects: ['evt.>'],
      max_age: nanos(60_000),
      duplicate_window: nanos(1000),
    });
    await provision();
    expect((await manager.streams.info('EVENTS')).config.max_age).toBe(wantedStream.max_age);
  });

  test('refuses a stream that cannot be brought there, and names the difference', async () => {
    await manager.streams.add({ ...wantedStream, subjects: ['evt.>'], storage: 'memory' });
    await expect(provision()).rejects.toThrow(
      'stream EVENTS differs from what is wanted (storage: wanted "file", is "memory")',
    );
  });

  test('refuses a consumer that cannot be brought there', async () => {
    await manager.streams.add({ ...wantedStream, subjects: ['evt.>'] });
    await manager.consumers.add('EVENTS', { ...wantedConsumer, deliver_policy: 'new' });
    await expect(provision()).rejects.toThrow('consumer audit-sequencer differs from what is wanted (deliver_policy');
  });

  test('does not get past a server that refuses the key', async () => {
    const another = busCredentials('provisioner', server.url, newBusSeeds());
    await expect(provisionStreams(another)).rejects.toThrow(/authorization/i);
  });
});
