import type { BusUser } from '@prime-nest/contracts/bus';
import { natsConfig } from '@prime-nest/devstack/nats-config';
import { busCredentials, newBusSeeds, publicKeys } from '@prime-nest/devstack/nats-keys';
import type { BusCredentials } from '@prime-nest/devstack/nats-keys';
import { startNats } from '@prime-nest/devstack/provider-nats';
import { provisionStreams } from '@prime-nest/devstack/provision';
import { busAuthenticator } from '@prime-nest/kit/bus/connection';
import type { ConnectionOptions } from '@nats-io/transport-node';
import { containerNats, usesContainers } from './containers.js';
import { controllable } from './controllable.js';
import type { TestServer } from './controllable.js';
import { runFolder } from './test-run.js';

export interface TestNats extends TestServer {
  /** The server's address without credentials. */
  readonly servers: string;
  /** For `connectBus`: name, servers and nkey of a user. */
  credentials(user: BusUser): BusCredentials;
  /** The seed itself, for the environment of a service. */
  seed(user: BusUser): string;
  /** The same for a plain NATS client. */
  plain(user: BusUser): ConnectionOptions;
}

export interface TestNatsOptions {
  /** Default true: the event stream and its consumer exist. */
  readonly streams?: boolean;
  /** Services of others behind the gateway: name to public nkey. */
  readonly upstreams?: Readonly<Record<string, string>>;
}

/** A NATS server of this test file's own, with the permissions that are deployed. */
export async function startTestNats({ streams = true, upstreams }: TestNatsOptions = {}): Promise<TestNats> {
  const dataDir = await runFolder('nats');
  // Of this server alone: a client of another test that goes on reconnecting to a port must not get into whatever
  // server listens there next.
  const seeds = newBusSeeds();
  const users = publicKeys(seeds);
  const env = { ...process.env, NATS_URL: undefined };
  const server = await controllable(async (port) =>
    (await usesContainers())
      ? containerNats({ port, dataDir }, { users, upstreams })
      : startNats({ dataDir, port, env, configText: (place) => natsConfig({ ...place, users, upstreams }) }),
  );
  const servers = `nats://127.0.0.1:${server.port}`;
  const credentials = (user: BusUser): BusCredentials => busCredentials(user, servers, seeds);
  if (streams) await provisionStreams(credentials('provisioner'));
  return {
    ...server,
    servers,
    credentials,
    seed: (user) => seeds[user],
    plain: (user) => ({
      servers,
      authenticator: busAuthenticator(credentials(user).nkeySeed),
      inboxPrefix: `_INBOX.${user}`,
    }),
  };
}
