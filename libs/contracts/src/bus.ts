import { eventBatchSubject, eventStream, eventSubject, eventTypes, eventSource } from './events.js';
import { serviceOf } from './rpc.js';
import { notify, rpc } from './subjects.js';

/** What one NATS user may do: allow lists, everything else is refused by the server. */
export interface BusPermissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  /** May answer on the reply subject of a message it received, and nowhere else. */
  readonly allowResponses: boolean;
}

export type BusUser = 'gateway' | 'identity' | 'rbac' | 'audit' | 'provisioner';
export const busUsers: readonly BusUser[] = ['gateway', 'identity', 'rbac', 'audit', 'provisioner'];

/** Below it lie the subjects of services that are not ours: `ext.<upstream>.…`. Only the gateway asks there. */
export const upstreamSubjects = 'ext.>';

/**
 * What the bus user of an adopter's service may do: answer requests on its own subjects, in its own queue group, and
 * nothing else. It publishes nowhere, so it can neither call a service nor write an event.
 */
export function upstreamPermissions(upstream: string): BusPermissions {
  return {
    publish: [],
    subscribe: [`ext.${upstream}.> ${upstream}`, `_INBOX.ext-${upstream}.>`],
    allowResponses: true,
  };
}

/** The durable JetStream consumer through which audit takes events. */
export const auditConsumer = 'audit-sequencer';

/** Who calls what, a whole service or one subject: only along these edges may requests flow. */
const calls: Readonly<Record<string, readonly string[]>> = {
  gateway: ['identity', 'rbac', 'audit'],
  // How far the log has come with their events; audit reads that in its own database.
  identity: ['audit.receipt.get.v1', 'audit.receipt.prove.v1'],
  rbac: ['audit.receipt.get.v1', 'audit.receipt.prove.v1'],
};
/** Who listens to whose broadcasts. */
const listens: Readonly<Record<string, readonly string[]>> = {
  gateway: ['identity'],
  identity: ['gateway'],
  rbac: ['rbac'],
};

const jetStreamApi = {
  publish: [
    `$JS.API.CONSUMER.INFO.${eventStream}.${auditConsumer}`,
    `$JS.API.CONSUMER.MSG.NEXT.${eventStream}.${auditConsumer}`,
    `$JS.ACK.${eventStream}.${auditConsumer}.>`,
  ],
  // Create and adjust, never delete or purge.
  provision: [
    ...['INFO', 'CREATE', 'UPDATE'].map((verb) => `$JS.API.STREAM.${verb}.${eventStream}`),
    `$JS.API.CONSUMER.INFO.${eventStream}.${auditConsumer}`,
    // Servers from 2.9 on take the first, older ones the second.
    `$JS.API.CONSUMER.CREATE.${eventStream}.${auditConsumer}`,
    `$JS.API.CONSUMER.DURABLE.CREATE.${eventStream}.${auditConsumer}`,
  ],
};

function permissionsOf(user: BusUser): BusPermissions {
  // A private inbox per user: the default `_INBOX.>` would let every service read the others' answers.
  const inbox = `_INBOX.${user}.>`;
  if (user === 'provisioner') return { publish: jetStreamApi.provision, subscribe: [inbox], allowResponses: false };

  const served = Object.keys(rpc).filter((subject) => serviceOf(subject) === user);
  const edges = calls[user] ?? [];
  const called = Object.keys(rpc).filter((subject) => edges.includes(subject) || edges.includes(serviceOf(subject)));
  const announced = Object.keys(notify).filter((subject) => subject.startsWith(`notify.${user}.`));
  const heard = Object.keys(notify).filter((subject) =>
    (listens[user] ?? []).some((service) => subject.startsWith(`notify.${service}.`)),
  );
  const own = eventTypes.filter((type) => eventSource(type) === user);
  const recorded = own.length === 0 ? [] : [eventBatchSubject(user), ...own.map(eventSubject)];
  return {
    publish: [
      ...called,
      ...announced,
      ...recorded,
      ...(user === 'audit' ? jetStreamApi.publish : []),
      ...(user === 'gateway' ? [upstreamSubjects] : []),
    ].sort(),
    // A queue subscription is granted only with the service's own queue group.
    subscribe: [...served.map((subject) => `${subject} ${user}`), ...heard, inbox].sort(),
    allowResponses: served.length > 0,
  };
}

/** The permission matrix of the bus, derived from the contracts: `deploy/nats/` is generated from it. */
export const busPermissions: Readonly<Record<BusUser, BusPermissions>> = Object.fromEntries(
  busUsers.map((user) => [user, permissionsOf(user)]),
) as Record<BusUser, BusPermissions>;
