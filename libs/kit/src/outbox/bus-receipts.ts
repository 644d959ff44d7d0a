import type { NatsConnection } from '@nats-io/transport-node';
import { auditRpc } from '@prime-nest/contracts/audit';
import type { EventType } from '@prime-nest/contracts/events';
import { createBusClient } from '../bus/client.js';
import { serviceContext } from '../context.js';
import type { Logger } from '../log.js';
import type { Secret } from '../secret.js';
import { readPublicKeys } from '../tlog/public-key.js';
import type { Outbox } from './outbox.js';
import type { ProveOptions } from './prove-events.js';
import type { WatchOptions } from './receipt-watch.js';
import type { ReceiptOptions } from './receipts.js';

type SourceOf<T> = T extends `${infer S}.source.rewound.v1` ? S : never;

export interface BusLogParts {
  readonly source: SourceOf<EventType>;
  readonly connection: NatsConnection;
  /** The log's public keys. Without them the log is taken at its word, and the service says so when it starts. */
  readonly publicKey: Secret | undefined;
  readonly log: Logger;
}

/** How a source hears over the bus what the log has of its events, and has it proven, wherever it keeps them. */
export function busLog({ source, connection, publicKey, log }: BusLogParts): {
  readonly ask: WatchOptions['ask'];
  readonly prove: ProveOptions | undefined;
} {
  const calls = createBusClient({ connection, contracts: auditRpc, log });
  if (publicKey === undefined) log.warn({}, 'outbox.receipts_unverified');
  return {
    ask: (place) => calls.call('audit.receipt.get.v1', place, serviceContext(source)),
    prove: publicKey && {
      ask: (request) => calls.call('audit.receipt.prove.v1', request, serviceContext(source)),
      keys: readPublicKeys(publicKey.reveal()),
    },
  };
}

/** The same for a service with an outbox, which records in it that it publishes again. */
export function busReceipts({ outbox, ...parts }: BusLogParts & { readonly outbox: Outbox }): ReceiptOptions {
  const { source } = parts;
  return {
    ...busLog(parts),
    onRewound: (tx, after) =>
      outbox.append(tx, { type: `${source}.source.rewound.v1`, change: { after } }, serviceContext(source)),
  };
}
