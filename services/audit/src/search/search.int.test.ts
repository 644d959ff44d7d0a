import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { EventFilter } from '@prime-nest/contracts/audit';
import type { LogEntry } from '@prime-nest/contracts/audit';
import type { AuditEvent } from '@prime-nest/contracts/events';
import { systemClock } from '@prime-nest/kit/clock';
import { freshContext } from '@prime-nest/kit/context';
import { newId } from '@prime-nest/kit/ids';
import { createOutbox } from '@prime-nest/kit/outbox/outbox';
import { makeEvent, makeMessage, openTestLog, readLog } from '../../test/harness.js';
import { AppendCommand } from '../log/append.command.js';
import { leafHash } from '@prime-nest/kit/tlog/tree';
import { LogStore } from '../log/log.store.js';
import { EntryStore } from './entry.store.js';
import { GetEventCommand } from './get-event.command.js';
import { SearchEventsCommand } from './search-events.command.js';

let log: Awaited<ReturnType<typeof openTestLog>>;
let search: SearchEventsCommand;
let get: GetEventCommand;
let sequence = 0;
const reader = { ...freshContext({ type: 'user', id: newId() }), ip: '203.0.113.9' };

beforeAll(async () => {
  log = await openTestLog();
  const parts = {
    database: log.database,
    entries: new EntryStore(),
    outbox: createOutbox({ service: 'audit', clock: systemClock }),
  };
  search = new SearchEventsCommand(parts);
  get = new GetEventCommand(parts);
});
afterAll(async () => {
  await log.close();
});

async function record(...events: readonly AuditEvent[]): Promise<void> {
  const append = new AppendCommand({ database: log.database, log: new LogStore(), clock: systemClock, newId });
  await append.run(events.map((event) => makeMessage(event, ++sequence)));
}

const ids = (entries: readonly Pick<LogEntry, 'id'>[]) => entries.map(({ id }) => id);
const find = async (filter: EventFilter) => ids((await search.run({ limit: 200, ...filter }, reader)).data);
const outboxTypes = async () =>
  (await log.database.query<{ entry: Buffer }>('SELECT entry FROM outbox ORDER BY id')).map(
    ({ entry }) => JSON.parse(entry.toString()) as AuditEvent,
  );

describe('search', () => {
  test('an entry of a version to come is found and shown, so that going back a version loses no reader', async () => {
    const newer = makeEvent('rbac.role.created.v1', {
      type: 'rbac.policy.imported.v1',
      action: 'policy.import',
      resource: { type: 'policy', id: 'the-policy' },
    });
    await record(newer);
    expect(await find({ type: newer.type })).toEqual([newer.id]);
    expect(await get.run({ id: newer.id }, reader)).toMatchObject({ type: newer.type, action: 'policy.import' });
  });

  test('every filter finds what it names and nothing else, and filters are joined by AND', async () => {
    const actorId = newId();
    const target: AuditEvent = makeEvent('rbac.role.updated.v1', {
      actor: { type: 'user', id: actorId },
      outcome: 'denied',
      occurredAt: '2026-02-01T00:00:00.500Z',
      resource: { type: 'role', id: 'the-role' },
    });
    const others = [
      makeEvent(),
      makeEvent('rbac.feature.created.v1', { actor: { type: 'service', id: 'rbac' } }),
      makeEvent('rbac.seed.applied.v1', { actor: { type: 'anonymous' } }),
    ];
    await record(...others.slice(0, 2), target, ...others.slice(2));
    const filters: EventFilter[] = [
      { actorId },
      { action: 'role.update' },
      { type: 'rbac.role.updated.v1' },
      { resourceId: 'the-role' },
      { outcome: 'denied' },
      { traceId: target.traceId },
      { correlationId: target.correlationId },
      { occurredFrom: '2026-02-01T00:00:00.500Z', occurredTo: '2026-02-01T00:00:00.501Z' },
      { resourceType: 'role', outcome: 'denied' },
    ];
    for (const filter of filters) expect([filter, await find(filter)]).toEqual([filter, [target.id]]);
    expect(await find({ resourceType: 'role' })).toEqual([target.id, others[0]?.id]);
    expect(await find(Object.assign({}, ...filters) as EventFilter)).toEqual([target.id]);
    expect(await find({ ...filters[0], outcome: 'success' })).toEqual([]);
    expect(await find({ occurredFrom: '2026-02-01T00:00:00.501Z', resourceId: 'the-role' })).toEqual([]);
    expect(await find({ occurredTo: '2026-02-01T00:00:00.500Z' })).toEqual([]);
    expect(await find({ type: "x' OR true --" })).toEqual([]);
    expect(await find({ resourceId: 'a\u0000b' })).toEqual([]);
  });

  test('every instant that a search may name can be searched for', async () => {
    const resourceId = newId();
    const event = makeEvent('rbac.role.updated.v1', { resource: { type: 'role', id: resourceId } });
    await record(event);
    const [first, last] = ['0001-01-01T00:00:00Z', '9999-12-31T23:59:59.999999999Z'];
    expect(await find(EventFilter.parse({ resourceId, occurredFrom: first, occurredTo: last }))).toEqual([event.id]);
    expect(await find(EventFilter.parse({ resourceId, occurredFrom: last, occurredTo: first }))).toEqual([]);
    for (const none of ['0000-12-31T23:59:59.999Z', '-000001-01-01T00:00:00Z', '+010000-01-01T00:00:00Z'])
      expect(EventFilter.safeParse({ occurredFrom: none }).success).toBe(false);
  });

  test('pages stay the same while the log grows', async () => {
    const action = 'feature.update';
    const list = Array.from({ length: 25 }, () => makeEvent('rbac.feature.updated.v1'));
    await record(...list);
    const seen: string[] = [];
    for (let cursor: string | undefined; ;) {
      const page = await search.run({ action, limit: 10, ...(cursor === undefined ? {} : { cursor }) }, reader);
      seen.push(...ids(page.data));
      await record(makeEvent('rbac.feature.updated.v1'), makeEvent());
      if (page.nextCursor === null) break;
      cursor = page.nextCursor;
    }
    expect(seen).toEqual(ids([...list].reverse()));
  });

  test('a page of large entries is cut to what the bus carries, and the rest follows', async () => {
    const big = Array.from({ length: 20 }, () =>
      makeEvent('rbac.permission.created.v1', { change: { after: 'x'.repeat(55_000) } }),
    );
    await record(...big);
    const first = await search.run({ type: 'rbac.permission.created.v1', limit: 200 }, reader);
    expect(Buffer.byteLength(JSON.stringify(first))).toBeLessThan(900_000);
    const second = await search.run(
      { type: 'rbac.permission.created.v1', limit: 200, cursor: first.nextCursor ?? '' },
      reader,
    );
    expect([...ids(first.data), ...ids(second.data)]).toEqual(ids([...big].reverse()));
    expect(second.nextCursor).toBeNull();
  });

  test('what is shown is the stored entry, and the stored entry is what was hashed', async () => {
    const event = makeEvent('rbac.role.deleted.v1', { change: { before: { name: 'é\u0000\u2028"\\' } } });
    await record(event);
    const [shown] = (await search.run({ traceId: event.traceId, limit: 1 }, reader)).data;
    const row = (await readLog(log.database)).find(({ eventId }) => eventId === event.id);
    expect({ ...shown, schema: 'event.v1' }).toEqual({ ...event, index: row?.index, receivedAt: expect.any(String) });
    expect(row?.leafHash.equals(leafHash(row.entry))).toBe(true);
  });

  test('a cursor that is none of ours is refused', async () => {
    await expect(search.run({ limit: 1, cursor: '1; DROP' }, reader)).rejects.toMatchObject({
      code: 'validation_failed',
    });
  });
});

describe('reading is recorded', () => {
  test('each search with its reader, filter and what it showed', async () => {
    const event = makeEvent();
    await record(event);
    await find({ traceId: event.traceId });
    expect((await outboxTypes()).at(-1)).toMatchObject({
      type: 'audit.log.searched.v1',
      actor: reader.actor,
      ip: reader.ip,
      traceId: reader.trace.traceId,
      change: { after: { filter: { traceId: event.traceId }, returned: 1 } },
    });
  });

  test('each look at one event, also when there is none', async () => {
    const event = makeEvent();
    await record(event);
    expect(await get.run({ id: event.id }, reader)).toMatchObject({ id: event.id });
    const missing = newId();
    await expect(get.run({ id: missing }, reader)).rejects.toMatchObject({ code: 'not_found' });
    expect((await outboxTypes()).slice(-2)).toMatchObject([
      { type: 'audit.event.read.v1', resource: { id: event.id }, outcome: 'success' },
      { type: 'audit.event.read.v1', resource: { id: missing }, outcome: 'failure', reasonCode: 'not_found' },
    ]);
  });
});
