import type { NatsConnection } from '@nats-io/transport-node';
import { auditRpc } from '@prime-nest/contracts/audit';
import type { EventType } from '@prime-nest/contracts/events';
import { createBusClient } from '../bus/client.js';
import { serviceContext } from '../context.js';
import type { Logger } from '../log.js';
import type { Secret } from '../secret.js';
import { readPublicKeys } from '../tlog/public-key.js';
import type { Outbox } from './outbox.js';
import type { ReceiptOptions } from './receipts.js';

type SourceOf<T> = T extends `${infer S}.source.rewound.v1` ? S : never;

export interface BusReceiptParts {
  readonly source: SourceOf<EventType>;
  readonly connection: NatsConnection;
  readonly outbox: Outbox;
  /** The log's public keys. Without them the log is taken at its word, and the service says so when it starts. */
  readonly publicKey: Secret | undefined;
  readonly log: Logger;
}

/** How a service hears over the bus what the log has of its events, and has it proven. */
export function busReceipts({ source, connection, outbox, publicKey, log }: BusReceiptParts): ReceiptOptions {
  const calls = createBusClient({ connection, contracts: auditRpc, log });
  if (publicKey === undefined) log.warn({}, 'outbox.receipts_unverified');
  return {
    ask: (place) => calls.call('audit.receipt.get.v1', place, serviceContext(source)),
    prove: publicKey && {
      ask: (request) => calls.call('audit.receipt.prove.v1', request, serviceContext(source)),
      keys: readPublicKeys(publicKey.reveal()),
    },
    onRewound: (tx, after) =>
      outbox.append(tx, { type: `${source}.source.rewound.v1`, change: { after } }, serviceContext(source)),
  };
}
