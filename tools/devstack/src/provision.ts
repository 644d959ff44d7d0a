import { provisionStreams as provision } from '@prime-nest/kit/bus/streams';
import { connect } from '@nats-io/transport-node';

export interface ProvisionTarget {
  readonly servers: string;
  readonly user: string;
  readonly password: string;
  /** Copies of the stream in a cluster; 1 for a single server. */
  readonly replicas?: number;
}

/** What a deployment's provisioning job does, over a connection of its own. */
export async function provisionStreams({ servers, user, password, replicas }: ProvisionTarget): Promise<void> {
  const connection = await connect({
    servers,
    user,
    pass: password,
    name: 'provision',
    inboxPrefix: `_INBOX.${user}`,
  });
  try {
    await provision(connection, replicas);
  } finally {
    await connection.close();
  }
}
