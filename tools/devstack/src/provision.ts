import { busAuthenticator } from '@prime-nest/kit/bus/connection';
import { provisionStreams as provision } from '@prime-nest/kit/bus/streams';
import type { Secret } from '@prime-nest/kit/secret';
import { connect } from '@nats-io/transport-node';

export interface ProvisionTarget {
  readonly servers: string;
  /** Of the user `provisioner`; absent for a server without users. */
  readonly nkeySeed?: Secret;
  /** Copies of the stream in a cluster; 1 for a single server. */
  readonly replicas?: number;
}

/** What a deployment's provisioning job does, over a connection of its own. */
export async function provisionStreams({ servers, nkeySeed, replicas }: ProvisionTarget): Promise<void> {
  const connection = await connect({
    servers,
    ...(nkeySeed === undefined ? {} : { authenticator: busAuthenticator(nkeySeed) }),
    name: 'provision',
    inboxPrefix: '_INBOX.provisioner',
  });
  try {
    await provision(connection, replicas);
  } finally {
    await connection.close();
  }
}
