import { jetstream } from '@nats-io/jetstream';
import { headers as natsHeaders } from '@nats-io/transport-node';
import type { MsgHdrs, NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { eventBatchSubject, eventSubject } from '@prime-nest/contracts/events';
import type { AuditEvent } from '@prime-nest/contracts/events';
import { connectBus } from '@prime-nest/kit/bus/connection';
import { systemClock } from '@prime-nest/kit/clock';
import type { Database } from '@prime-nest/kit/database';
import { newId } from '@prime-nest/kit/ids';
import { createLogger, silentLogger } from '@prime-nest/kit/log';
import { encodeEventBatch } from '@prime-nest/kit/outbox/event-batch';
import { eventually } from '@prime-nest/testkit/eventually';
import { startTestNats } from '@prime-nest/testkit/nats';
import type { TestNats } from '@prime-nest/testkit/nats';
import {
  eventMessageHeaders,
  makeEvent,
  openTestDatabase,
  openTestLog,
  readLog,
  verifyStoredLog,
} from '../test/harness.js';
import { IngestConsumer } from './ingest.consumer.js';
import { AppendCommand } from './log/append.command.js';
import { entryBytes } from './log/entry.js';
import { LogStore } from './log/log.store.js';
import { SequencerLock } from './log/sequencer-lock.store.js';

let nats: TestNats;
let log: Awaited<ReturnType<typeof openTestLog>>;
let rbac: NatsConnection;
let lines: string[];
const stops: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  log = await openTestLog();
});
afterAll(async () => {
  await log.close();
});

beforeEach(async () => {
  // Its own stream for every test: the durable consumer's position belongs to the server.
  nats = await startTestNats();
  rbac = await connectAs('rbac');
  lines = [];
  epoch = newId();
  firstIndex = (await readLog(log.database)).length;
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  await rbac.close();
  await nats.stop();
});

let epoch: string;
let firstIndex: number;

function connectAs(user: 'rbac' | 'audit'): Promise<NatsConnection> {
  return connectBus({ ...nats.credentials(user), log: silentLogger() });
}

/** An audit process: its own connections, its own lock. */
async function startAudit(): Promise<IngestConsumer> {
  const database: Database = await openTestDatabase(log.server.url);
  const connection = await connectAs('audit');
  const append = new AppendCommand({ database, log: new LogStore(), clock: systemClock, newId });
  const logger = createLogger({
    service: 'audit',
    level: 'info',
    destination: { write: (line: string) => void lines.push(line) },
  });
  const ingest = new IngestConsumer({ connection, append, lock: new SequencerLock(database), log: logger });
  ingest.start();
  let isStopped = false;
  stops.push(async () => {
    if (!isStopped) await ingest.stop();
    await connection.close();
    await database.close();
  });
  const stop = ingest.stop.bind(ingest);
  ingest.stop = () => {
    isStopped = true;
    return stop();
  };
  return ingest;
}

/** As the relay does it; `messageId` differs from the event's id when JetStream's own deduplication must not help. */
async function publish(event: AuditEvent, sequence: number, messageId = event.id): Promise<void> {
  await jetstream(rbac).publish(eventSubject(event.type), entryBytes(event), {
    msgID: messageId,
    headers: eventMessageHeaders(event, sequence, epoch),
  });
}

/** Several in one message, as the relay does it with neighbours. */
async function publishTogether(list: readonly AuditEvent[], first: number): Promise<void> {
  const batch = list.map((event) => ({
    type: event.type,
    entry: entryBytes(event),
    correlationId: event.correlationId,
    traceparent: '',
  }));
  await publishBody(encodeEventBatch(batch), first);
}

async function publishBody(body: Uint8Array, first: number): Promise<void> {
  await jetstream(rbac).publish(eventBatchSubject('rbac'), body, {
    headers: eventMessageHeaders(makeEvent(), first, epoch),
  });
}

const events = (count: number): AuditEvent[] => Array.from({ length: count }, () => makeEvent());
const newRows = async () => (await readLog(log.database)).slice(firstIndex);
const recordedIds = async () => (await newRows()).map(({ eventId }) => eventId);
const idsOf = (list: readonly AuditEvent[]) => list.map(({ id }) => id);

describe('the sequencer', () => {
  test('stores each published event once, byte for byte, and names it in a log line with its trace', async () => {
    await startAudit();
    const list = events(5);
    for (const [i, event] of list.entries()) await publish(event, i + 1);
    await eventually(async () => expect(await recordedIds()).toEqual(idsOf(list)));
    const rows = await newRows();
    expect(rows.map(({ entry }) => entry.toString())).toEqual(list.map((event) => entryBytes(event).toString()));
    await verifyStoredLog(log.database);
    const recorded = lines
      .map((line): unknown => JSON.parse(line))
      .filter((line) => (line as { msg: string }).msg === 'event.recorded');
    expect(recorded).toMatchObject(
      list.map(({ traceId, correlationId, type }, i) => ({ traceId, correlationId, type, index: firstIndex + i })),
    );
  });

  test('a republish under other message ids changes nothing', async () => {
    await startAudit();
    const list = events(3);
    for (const [i, event] of list.entries()) await publish(event, i + 1);
    for (const [i, event] of [...list.entries()].reverse()) await publish(event, i + 1, newId());
    const next = makeEvent();
    await publish(next, 4);
    await eventually(async () => expect(await recordedIds()).toEqual(idsOf([...list, next])));
    await verifyStoredLog(log.database);
  });

  test('an event whose predecessor is missing waits for it', async () => {
    await startAudit();
    const [first, second, third] = events(3) as [AuditEvent, AuditEvent, AuditEvent];
    await publish(third, 3);
    await publish(first, 1);
    await eventually(async () => expect(await recordedIds()).toEqual([first.id]));
    await publish(second, 2);
    await eventually(async () => expect(await recordedIds()).toEqual(idsOf([first, second, third])));
  });

  test('stores the events of one message as if each had come alone', async () => {
    await startAudit();
    const list = events(40);
    await publish(list[0] as AuditEvent, 1);
    await publishTogether(list.slice(1), 2);
    await eventually(async () => expect(await recordedIds()).toEqual(idsOf(list)));
    const rows = await newRows();
    expect(rows.map(({ entry }) => entry.toString())).toEqual(list.map((event) => entryBytes(event).toString()));
    expect(rows.map(({ sequence }) => sequence)).toEqual(list.map((_, i) => i + 1));
    await verifyStoredLog(log.database);
  });

  test('messages that overlap, because they were cut differently the second time, bring each event once', async () => {
    await startAudit();
    const list = events(12);
    await publishTogether(list.slice(0, 7), 1);
    await publishTogether(list.slice(0, 9), 1);
    await publish(list[8] as AuditEvent, 9, newId());
    await publishTogether(list.slice(6), 7);
    await eventually(async () => expect(await recordedIds()).toEqual(idsOf(list)));
    const [quarantined] = await log.database.query<{ n: string }>(
      'SELECT count(*) AS n FROM quarantine WHERE log_index >= $1',
      [firstIndex],
    );
    expect(quarantined?.n).toBe('0');
    await verifyStoredLog(log.database);
  });

  test('a message of several waits for what is missing before it, and is not acknowledged for what it has brought', async () => {
    const audit = await startAudit();
    const list = events(9);
    await publishTogether(list.slice(4), 5);
    await publishTogether(list.slice(0, 2), 1);
    await eventually(async () => expect(await recordedIds()).toEqual(idsOf(list.slice(0, 2))));
    expect(await audit.pending()).toBe(1);
    await publishTogether(list.slice(2, 4), 3);
    await eventually(async () => expect(await recordedIds()).toEqual(idsOf(list)));
    await eventually(async () => expect(await audit.pending()).toBe(0));
  });

  test('of several in one message the unfit ones are kept in quarantine under their own numbers, and hold nobody up', async () => {
    await startAudit();
    const [first, last] = events(2) as [AuditEvent, AuditEvent];
    const foreign = makeEvent('identity.login.failed.v1');
    const head = { correlationId: '', traceparent: '' };
    const body = encodeEventBatch([
      { ...head, type: first.type, entry: entryBytes(first) },
      { ...head, type: first.type, entry: Buffer.from('not json') },
      // The bus vouches for the source on the subject, and for no other.
      { ...head, type: foreign.type, entry: entryBytes(foreign) },
      { ...head, type: 'rbac.role.deleted.v1', entry: entryBytes(makeEvent()) },
      { ...head, type: last.type, entry: entryBytes(last) },
    ]);
    await publishBody(body, 1);
    await publishBody(body, 1);
    const next = makeEvent();
    await publish(next, 6);
    await eventually(async () => expect(await newRows()).toHaveLength(6));
    const rows = await newRows();
    expect(rows.map(({ entry }) => (JSON.parse(entry.toString()) as AuditEvent).reasonCode)).toEqual([
      undefined,
      'not_json',
      'wrong_subject',
      'wrong_subject',
      undefined,
      undefined,
    ]);
    expect([rows[0], rows[4], rows[5]].map((row) => row?.eventId)).toEqual(idsOf([first, last, next]));
    const kept = await log.database.query<{ raw: Buffer; source: string; source_seq: string }>(
      'SELECT raw, source, source_seq FROM quarantine WHERE log_index >= $1 ORDER BY log_index',
      [firstIndex],
    );
    expect(kept.map(({ source, source_seq }) => `${source} ${source_seq}`)).toEqual(['rbac 2', 'rbac 3', 'rbac 4']);
    expect(kept[1]?.raw.equals(entryBytes(foreign))).toBe(true);
    await verifyStoredLog(log.database);
  });

  test('a message that should hold several and does not is one message in quarantine', async () => {
    await startAudit();
    const [event] = events(1) as [AuditEvent];
    await publishBody(Buffer.from('[{"type":"rbac.role.created.v1","size":7}]\nshort'), 1);
    await publish(event, 2);
    await eventually(async () => expect(await newRows()).toHaveLength(2));
    const rows = await newRows();
    expect((JSON.parse(rows[0]?.entry.toString() ?? '') as AuditEvent).reasonCode).toBe('not_json');
    expect(rows[1]?.eventId).toBe(event.id);
  });

  test('messages as long as the bus takes them come like any other, and hold nobody up', async () => {
    await startAudit();
    const list = events(3);
    await publishBody(Buffer.alloc(1_000_000, 0x20), 1);
    await publishTogether(list, 2);
    await publishBody(Buffer.alloc(1_000_000, 0x20), 5);
    const last = makeEvent();
    await publish(last, 6);
    await eventually(async () => expect(await newRows()).toHaveLength(6));
    expect((await recordedIds()).filter((id) => idsOf([...list, last]).includes(id))).toEqual(idsOf([...list, last]));
  });

  test('a message that is no event is kept in quarantine, has an entry of its own, and holds nobody up', async () => {
    await startAudit();
    const [first, last] = events(2) as [AuditEvent, AuditEvent];
    await publish(first, 1);
    await jetstream(rbac).publish('evt.rbac.role.created.v1', 'not json', {
      headers: eventMessageHeaders(makeEvent(), 2, epoch),
    });
    await publish(last, 3);
    await eventually(async () => expect(await newRows()).toHaveLength(3));
    const rows = await newRows();
    expect(rows.map(({ type }) => type)).toEqual([
      'rbac.role.created.v1',
      'audit.event.quarantined.v1',
      'rbac.role.created.v1',
    ]);
    expect(JSON.parse(rows[1]?.entry.toString() ?? '')).toMatchObject({
      reasonCode: 'not_json',
      change: { after: { source: 'rbac', sequence: '2', size: 8 } },
    });
    const kept = await log.database.query<{ raw: Buffer }>('SELECT raw FROM quarantine WHERE log_index = $1', [
      rows[1]?.index,
    ]);
    expect(kept[0]?.raw.toString()).toBe('not json');
    await verifyStoredLog(log.database);
  });

  test('unacknowledged messages of a process that died after its commit come again and change nothing', async () => {
    const list = events(4);
    for (const [i, event] of list.entries()) await publish(event, i + 1);
    // The first process commits and is gone before it acknowledges.
    const ingest = await startAudit();
    await eventually(async () => expect(await recordedIds()).toEqual(idsOf(list)));
    await ingest.stop();
    for (const [i, event] of list.entries()) await publish(event, i + 1, newId());
    await startAudit();
    const next = makeEvent();
    await publish(next, 5);
    await eventually(async () => expect(await recordedIds()).toEqual(idsOf([...list, next])));
  });

  test('of two processes one sequences, and the other takes over when it stops', async () => {
    const first = await startAudit();
    await startAudit();
    const list = events(200);
    const half = list.slice(0, 100);
    await Promise.all(half.map((event, i) => publish(event, i + 1)));
    await eventually(async () => expect(await newRows()).toHaveLength(100));
    await Promise.all([first.stop(), ...list.slice(100).map((event, i) => publish(event, 101 + i))]);
    await eventually(async () => expect(await recordedIds()).toEqual(idsOf(list)));
    await verifyStoredLog(log.database);
    expect(lines.filter((line) => line.includes('ingest.leading'))).toHaveLength(2);
  });

  test('NATS killed and restarted in between loses nothing', async () => {
    await startAudit();
    const list = events(6);
    for (const [i, event] of list.slice(0, 3).entries()) await publish(event, i + 1);
    await eventually(async () => expect(await newRows()).toHaveLength(3));
    await nats.kill();
    await nats.restart();
    await eventually(async () => {
      for (const [i, event] of list.slice(3).entries()) await publish(event, i + 4);
    });
    await eventually(async () => expect(await recordedIds()).toEqual(idsOf(list)), { deadlineMs: 15_000 });
  });

  test('readiness fails when the consumer does not exist', async () => {
    const ingest = await startAudit();
    await expect(ingest.check()).resolves.toBeUndefined();
    await nats.stop();
    await expect(ingest.check()).rejects.toThrow();
  });
});

describe('headers that no client would send', () => {
  /** What the client refuses to send and to read: a compromised service has another one. */
  function forged(name: string, value: string): MsgHdrs {
    const made = natsHeaders();
    (Reflect.get(made, 'headers') as Map<string, string[]>).set(name, [value]);
    return made;
  }

  test.each([
    ['a name with a space', 'X Forged', 'v'],
    ['a value with half of a line break', 'X-Forged', 'a\nb'],
  ])('%s costs that message its place, and nobody else anything', async (_what, name, value) => {
    await startAudit();
    const [poisoned, ...others] = events(3) as [AuditEvent, AuditEvent, AuditEvent];
    rbac.publish(eventSubject(poisoned.type), entryBytes(poisoned), { headers: forged(name, value) });
    for (const [i, event] of others.entries()) await publish(event, i + 1);
    await eventually(async () => expect(await recordedIds()).toHaveLength(3));
    const rows = await newRows();
    expect(rows.map(({ type }) => type).filter((type) => type === 'audit.event.quarantined.v1')).toHaveLength(1);
    expect(rows.map(({ eventId }) => eventId)).toEqual(expect.arrayContaining(idsOf(others)));
    await verifyStoredLog(log.database);
  });
});
