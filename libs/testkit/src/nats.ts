import type { BusUser } from '@prime-nest/contracts/bus';
import { busPasswords, natsConfig } from '@prime-nest/devstack/nats-config';
import { startNats } from '@prime-nest/devstack/provider-nats';
import { provisionStreams } from '@prime-nest/devstack/provision';
import { containerNats, usesContainers } from './containers.js';
import { randomBytes } from 'node:crypto';
import { controllable } from './controllable.js';
import type { TestServer } from './controllable.js';
import { runFolder } from './test-run.js';

export interface BusCredentials {
  readonly user: BusUser;
  readonly password: string;
}

export interface TestNats extends TestServer {
  /** The server's address without credentials. */
  readonly servers: string;
  credentials(user: BusUser): BusCredentials;
  /** The address with a user's credentials in it. */
  url(user: BusUser): string;
}

export interface TestNatsOptions {
  /** Default true: the event stream and its consumer exist. */
  readonly streams?: boolean;
}

/** A NATS server of this test file's own, with the permissions that are deployed. */
export async function startTestNats({ streams = true }: TestNatsOptions = {}): Promise<TestNats> {
  const dataDir = await runFolder('nats');
  // Of this server alone: a client of another test that goes on reconnecting to a port must not get into whatever
  // server listens there next.
  const run = randomBytes(8).toString('hex');
  const passwords = busPasswords((user) => `test-${run}-${user}`);
  const env = { ...process.env, NATS_URL: undefined };
  const server = await controllable(async (port) =>
    (await usesContainers())
      ? containerNats({ port, dataDir }, passwords)
      : startNats({ dataDir, port, env, configText: (place) => natsConfig({ ...place, users: passwords }) }),
  );
  const servers = `nats://127.0.0.1:${server.port}`;
  if (streams) await provisionStreams({ servers, user: 'provisioner', password: passwords.provisioner });
  return {
    ...server,
    servers,
    credentials: (user) => ({ user, password: passwords[user] }),
    url: (user) => `nats://${user}:${passwords[user]}@127.0.0.1:${server.port}`,
  };
}
