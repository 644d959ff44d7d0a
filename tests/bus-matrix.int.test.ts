import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  connect,
  type NatsConnection,
  nkeyAuthenticator,
  nkeys,
  PermissionViolationError,
} from '@nats-io/transport-node';
import { type BusUser, busPermissions, busUsers } from '@prime-nest/contracts/bus';
import { eventTypes } from '@prime-nest/contracts/events';
import { serviceOf } from '@prime-nest/contracts/rpc';
import { notify, rpc } from '@prime-nest/contracts/subjects';
import { eventually } from '@prime-nest/testkit/eventually';
import { startTestNats, type TestNats } from '@prime-nest/testkit/nats';
import { readFileSync } from 'node:fs';

/** Everything anybody could want to say or hear on this bus, and what only an attacker would try. */
const subjects = [
  ...Object.keys(rpc),
  ...Object.keys(notify),
  ...eventTypes.map((type) => `evt.${type}`),
  ...busUsers.map((user) => `evt.${user}.batch.v1`),
  ...busUsers.map((user) => `_INBOX.${user}.stolen`),
  '_INBOX.stolen',
  '_R_.stolen',
  'anything.else',
  'ext.invoices.invoice.get.v1',
  '$JS.API.INFO',
  '$JS.API.STREAM.DELETE.EVENTS',
  '$JS.API.STREAM.PURGE.EVENTS',
  '$JS.API.CONSUMER.INFO.EVENTS.audit-sequencer',
  '$JS.API.CONSUMER.DELETE.EVENTS.audit-sequencer',
  '$JS.API.STREAM.MSG.GET.EVENTS',
  '$SYS.REQ.SERVER.PING',
];
const wildcards = [
  '>',
  '*.>',
  'evt.>',
  'identity.>',
  'rbac.>',
  'ext.>',
  'ext.*.>',
  '$JS.>',
  '$SYS.>',
  '_INBOX.>',
  '$JS.ACK.>',
];

function matches(pattern: string, subject: string): boolean {
  const [wanted, given] = [pattern.split('.'), subject.split('.')];
  for (const [index, token] of wanted.entries()) {
    if (token === '>') return given.length > index;
    if (given[index] === undefined || (token !== '*' && token !== given[index])) return false;
  }
  return wanted.length === given.length;
}

const mayPublish = (user: BusUser, subject: string): boolean =>
  busPermissions[user].publish.some((pattern) => matches(pattern, subject));
const maySubscribe = (user: BusUser, subject: string, queue?: string): boolean =>
  busPermissions[user].subscribe.some((entry) => {
    const [pattern = '', group] = entry.split(' ');
    return matches(pattern, subject) && (group === undefined || group === queue);
  });

let nats: TestNats;
const open: NatsConnection[] = [];

beforeAll(async () => {
  nats = await startTestNats();
});
afterAll(async () => {
  await Promise.all(open.map((connection) => connection.close()));
  await nats.stop();
});

async function connectAs(user: BusUser): Promise<{ connection: NatsConnection; refused: Set<string> }> {
  const connection = await connect(nats.plain(user));
  open.push(connection);
  const refused = new Set<string>();
  void (async () => {
    for await (const status of connection.status()) {
      if (status.type !== 'error' || !(status.error instanceof PermissionViolationError)) continue;
      const { operation, subject, queue } = status.error;
      refused.add([operation, subject, ...(queue === undefined ? [] : [queue])].join(' '));
    }
  })();
  return { connection, refused };
}

/** The server answers in order, so after one round trip every refusal is on its way to the status iterator. */
async function settled(connection: NatsConnection, refused: Set<string>, expected: string[]): Promise<void> {
  await connection.flush();
  await eventually(() => expected.every((entry) => refused.has(entry)), { deadlineMs: 5000 }).catch(() => false);
}

describe.each(busUsers)('the credential of %s', (user) => {
  test('publishes exactly what the matrix allows', async () => {
    const { connection, refused } = await connectAs(user);
    const forbidden = subjects.filter((subject) => !mayPublish(user, subject));
    for (const subject of subjects) connection.publish(subject, '{}');
    await settled(
      connection,
      refused,
      forbidden.map((subject) => `publish ${subject}`),
    );
    expect([...refused].sort()).toEqual(forbidden.map((subject) => `publish ${subject}`).sort());
    expect(forbidden.length).toBeGreaterThan(0);
  });

  test('subscribes to exactly what the matrix allows', async () => {
    const { connection, refused } = await connectAs(user);
    const all = [...subjects, ...wildcards];
    const forbidden = all.filter((subject) => !maySubscribe(user, subject));
    for (const subject of all) connection.subscribe(subject, { callback: () => undefined });
    await settled(
      connection,
      refused,
      forbidden.map((subject) => `subscription ${subject}`),
    );
    expect([...refused].sort()).toEqual(forbidden.map((subject) => `subscription ${subject}`).sort());
  });

  test('joins no queue group but its own', async () => {
    const { connection, refused } = await connectAs(user);
    const attempts = Object.keys(rpc).flatMap((subject) => [
      { subject, queue: serviceOf(subject) },
      { subject, queue: 'intruder' },
    ]);
    const forbidden = attempts
      .filter(({ subject, queue }) => !maySubscribe(user, subject, queue))
      .map(({ subject, queue }) => `subscription ${subject} ${queue}`);
    for (const { subject, queue } of attempts) connection.subscribe(subject, { queue, callback: () => undefined });
    await settled(connection, refused, forbidden);
    expect([...refused].sort()).toEqual(forbidden.sort());
  });
});

describe('without a valid credential', () => {
  test.each([
    ['none at all', {}],
    ['a key that nobody knows', { authenticator: nkeyAuthenticator(nkeys.createUser().getSeed()) }],
    ['a user with a password', { user: 'gateway', pass: 'gateway' }],
    ['a token', { token: 'anything' }],
  ])('%s: no connection', async (_name, credentials) => {
    const attempt = connect({ servers: nats.servers, ...credentials, reconnect: false, maxReconnectAttempts: 0 });
    await expect(attempt).rejects.toThrow(/authorization/i);
  });
});

test('the matrix that was tried is the one that is committed', () => {
  const golden = new URL('../libs/contracts/golden/bus-permissions.json', import.meta.url);
  expect(JSON.parse(readFileSync(golden, 'utf8'))).toEqual(busPermissions);
});
