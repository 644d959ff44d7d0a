import { appendFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { AuditEvent, eventHeaders, eventStream } from '@prime-nest/contracts/events';
import { provisionStreams } from '@prime-nest/devstack/provision';
import { startNats } from '@prime-nest/devstack/provider-nats';
import { connectBus } from '@prime-nest/kit/bus/connection';
import { systemClock } from '@prime-nest/kit/clock';
import { freshContext } from '@prime-nest/kit/context';
import { createLogger } from '@prime-nest/kit/log';
import { decodeEventBatch } from '@prime-nest/kit/outbox/event-batch';
import type { WatchOptions } from '@prime-nest/kit/outbox/receipt-watch';
import { controllable } from '@prime-nest/testkit/controllable';
import type { TestServer } from '@prime-nest/testkit/controllable';
import { eventually } from '@prime-nest/testkit/eventually';
import { runFolder } from '@prime-nest/testkit/test-run';
import type { GatewayEventDraft } from './record-event.js';
import { Spool } from './spool.job.js';
import type { SpoolOptions } from './spool.job.js';

let nats: TestServer;
let bus: NatsConnection;
let manager: JetStreamManager;
let root: string;
let spools: Spool[] = [];
let lines: string[] = [];

/** The far end: events by epoch and number, as the log would take them. */
let taken = new Map<string, Map<number, AuditEvent>>();
let isAway = false;
const held = (epoch: string) => taken.get(epoch) ?? new Map<number, AuditEvent>();
const ask: WatchOptions['ask'] = ({ epoch }) => {
  if (isAway) return Promise.reject(new Error('away'));
  let sequence = 0;
  while (held(epoch).has(sequence + 1)) sequence++;
  return Promise.resolve({ sequence, checkpoint: null });
};

let takenTo = 0;

/** Takes what the stream holds beyond what was taken before. */
async function take(): Promise<void> {
  const { state } = await manager.streams.info(eventStream);
  if (state.last_seq < takenTo) takenTo = 0;
  for (let seq = Math.max(1, state.first_seq, takenTo + 1); seq <= state.last_seq; seq++) {
    const message = await manager.streams.getMessage(eventStream, { seq });
    const epoch = message?.header.get(eventHeaders.epoch) ?? '';
    const first = Number(message?.header.get(eventHeaders.sequence));
    const body = message?.data ?? new Uint8Array();
    const alone = { entry: body, traceparent: message?.header.get(eventHeaders.traceparent) };
    expect(message?.header.get(eventHeaders.source)).toBe('gateway');
    for (const [i, { entry, traceparent }] of (decodeEventBatch(body) ?? [alone]).entries()) {
      const event = AuditEvent.parse(JSON.parse(Buffer.from(entry).toString()));
      // Two events under one number: what the log calls equivocation.
      expect(held(epoch).get(first + i)?.id ?? event.id).toBe(event.id);
      expect(traceparent).toContain(event.traceId);
      taken.set(epoch, held(epoch).set(first + i, event));
    }
    takenTo = seq;
  }
}

/** Events in the stream, not taken. */
async function inStream(): Promise<number> {
  const { state } = await manager.streams.info(eventStream);
  let events = 0;
  for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
    const message = await manager.streams.getMessage(eventStream, { seq });
    events += decodeEventBatch(message?.data ?? new Uint8Array())?.length ?? 1;
  }
  return events;
}

/** Every event once, whatever number it came under; behind a gap in its epoch the log takes none. */
async function inLog(): Promise<AuditEvent[]> {
  await take();
  const events = new Map<string, AuditEvent>();
  for (const numbers of taken.values()) {
    for (let n = 1, event = numbers.get(n); event !== undefined; event = numbers.get(++n)) events.set(event.id, event);
  }
  return [...events.values()];
}

/** The same, and there is no gap. */
async function recorded(): Promise<AuditEvent[]> {
  const events = await inLog();
  for (const numbers of taken.values()) {
    expect([...numbers.keys()].sort((a, b) => a - b)).toEqual(Array.from(numbers, (_, i) => i + 1));
  }
  return events;
}

const rolledUp = (event: AuditEvent) =>
  (event.change?.after as { rollUp?: { count: number } } | undefined)?.rollUp?.count ?? 1;
const lost = (event: AuditEvent) =>
  Object.values((event.change?.after as { lost: Record<string, number> }).lost).reduce((a, b) => a + b, 0);
const totalOf = async (type: string) =>
  (await recorded()).filter((event) => event.type === type).reduce((sum, event) => sum + rolledUp(event), 0);
const lostTotal = async () =>
  (await recorded())
    .filter(({ type }) => type === 'gateway.recording.lost.v1')
    .reduce((sum, event) => sum + lost(event), 0);

const denied = (n: number): GatewayEventDraft => ({
  type: 'gateway.access.denied.v1',
  outcome: 'denied',
  reasonCode: 'forbidden',
  resourceId: `GET /${n}`,
});
const stranger = () => freshContext({ type: 'anonymous' });

function open(options: Partial<SpoolOptions> = {}): Spool {
  const log = createLogger({
    service: 'gateway',
    level: 'info',
    destination: { write: (line) => void lines.push(line) },
  });
  const receipts = { ask, intervalMs: 20, patienceMs: 500 };
  const limits = { windowMs: 500, eachMax: 3, keysMax: 1_000, linesPerSecond: 100_000 };
  const spool = new Spool({
    root,
    bytesMax: 1_000_000,
    connection: bus,
    receipts,
    limits,
    clock: systemClock,
    farewellMs: 300,
    log,
    ...options,
  });
  spool.start();
  spools.push(spool);
  return spool;
}

const files = async () => (await readdir(root, { recursive: true })).filter((name) => name.endsWith('.records'));
const saw = (event: string) => lines.some((line) => line.includes(`"${event}"`));

/** A new stream counts anew. */
async function provision(): Promise<void> {
  await provisionStreams({ servers: `nats://127.0.0.1:${nats.port}` });
  takenTo = 0;
}

beforeAll(async () => {
  const dataDir = await runFolder('spool-nats');
  nats = await controllable((port) => startNats({ dataDir, port, env: { ...process.env, NATS_URL: undefined } }));
});
afterAll(async () => {
  await nats.stop();
});
beforeEach(async () => {
  taken = new Map();
  lines = [];
  isAway = false;
  root = await runFolder('spool');
  const servers = `nats://127.0.0.1:${nats.port}`;
  bus = await connectBus({ servers, name: 'gateway', log: createLogger({ service: 'x', level: 'silent' }) });
  manager = await jetstreamManager(bus);
  await manager.streams.delete(eventStream).catch(() => undefined);
  await provision();
});
afterEach(async () => {
  isAway = true;
  await Promise.all(spools.map((spool) => spool.stop()));
  spools = [];
  await bus.close();
});

describe('an event of the gateway', () => {
  test('is in the stream once, in order, with its trace and caller; its file goes when the log has it', async () => {
    const spool = open();
    const id = '0190a6e2-5b7c-7c3d-9c1a-0123456789ab';
    const context = { ...freshContext({ type: 'user', id }), ip: '192.0.2.7', userAgent: 'agent' };
    spool.recordEvent(denied(1), context);
    const event = await eventually(
      async () => (await recorded()).find(({ type }) => type === 'gateway.access.denied.v1') ?? false,
    );
    expect(event).toMatchObject({
      source: 'gateway',
      outcome: 'denied',
      reasonCode: 'forbidden',
      actor: { type: 'user', id },
      resource: { type: 'route', id: 'GET /1' },
      correlationId: context.correlationId,
      traceId: context.trace.traceId,
      ip: '192.0.2.7',
      userAgent: 'agent',
    });
    expect((await files()).length).toBe(1);
    const ended = spool.stop();
    await eventually(async () => {
      await take();
      return (await readdir(root)).length === 0;
    });
    await ended;
    const types = (await recorded()).map(({ type }) => type);
    expect(types).toEqual(['gateway.recording.started.v1', 'gateway.access.denied.v1', 'gateway.recording.stopped.v1']);
  });

  test('that comes in numbers is counted exactly', async () => {
    const spool = open();
    for (let n = 0; n < 5_000; n++) spool.recordEvent(denied(1), { ...stranger(), ip: '192.0.2.7' });
    await eventually(async () => (await totalOf('gateway.access.denied.v1')) === 5_000);
    expect((await recorded()).length).toBeLessThan(10);
  });

  test('waits while NATS is away, and while the log says nothing its file stays', async () => {
    const spool = open();
    isAway = true;
    spool.recordEvent(denied(1), stranger());
    await eventually(async () => (await totalOf('gateway.access.denied.v1')) === 1);
    await nats.kill();
    for (let n = 2; n < 50; n++) spool.recordEvent(denied(n), stranger());
    await nats.restart();
    await eventually(async () => (await totalOf('gateway.access.denied.v1')) === 49);
    expect((await files()).length).toBe(1);
  });

  test('that JetStream has lost goes out again', async () => {
    const spool = open();
    for (let n = 0; n < 20; n++) spool.recordEvent(denied(n), stranger());
    await eventually(async () => (await inStream()) === 21);
    await manager.streams.delete(eventStream);
    await provision();
    await eventually(async () => (await totalOf('gateway.access.denied.v1')) === 20);
    expect(saw('spool.rewound')).toBe(true);
    // What was lost on the way stays visible in the log.
    const said = await eventually(
      async () => (await recorded()).find(({ type }) => type === 'gateway.source.rewound.v1') ?? false,
    );
    expect(said.change?.after).toMatchObject({ from: 21, to: 0 });
  });

  test('gets a new number when the log was set back behind what is still here, and is one entry all the same', async () => {
    const spool = open({ segmentBytes: 2_000 });
    for (let n = 0; n < 20; n++) spool.recordEvent(denied(n), stranger());
    await eventually(async () => (await totalOf('gateway.access.denied.v1')) === 20);
    spool.recordEvent(denied(20), stranger());
    await eventually(
      async () => saw('spool.opened') && !(await files()).some((name) => name.endsWith('000000000001.records')),
    );
    taken = new Map();
    await manager.streams.delete(eventStream);
    await provision();
    for (let n = 21; n < 30; n++) spool.recordEvent(denied(n), stranger());
    await eventually(() => saw('spool.log_set_back'));
    await eventually(async () => {
      const routes = (await inLog()).map(({ resource }) => resource.id);
      // Number 21 of the old epoch was in the file that was still here.
      return Array.from({ length: 10 }, (_, i) => `GET /${20 + i}`).every((route) => routes.includes(route));
    });
    // The log need not wait for the numbers of the old epoch that nobody has any more.
    const given = await eventually(
      async () => (await inLog()).find(({ type }) => type === 'gateway.source.rewound.v1') ?? false,
    );
    expect(given.change?.after).toMatchObject({ to: 0, isAbandoned: true });
  });
});

describe('a spool that was left behind', () => {
  test('is published by the next gateway under its own numbers; what a crash tore off is left out', async () => {
    isAway = true;
    await nats.kill();
    const first = open();
    for (let n = 0; n < 30; n++) first.recordEvent(denied(n), stranger());
    await eventually(async () => (await files()).length === 1);
    await first.stop();
    const [file] = await files();
    await appendFile(path.join(root, file ?? ''), '00000000 ["torn');
    await nats.restart();
    isAway = false;
    open();
    await eventually(async () => (await totalOf('gateway.access.denied.v1')) === 30);
    expect(taken.size).toBe(2);
    const torn = lines.find((line) => line.includes('spool.adopted'));
    expect(JSON.parse(torn ?? '{}')).toMatchObject({ entries: 32, bytes: 15 });
    await eventually(async () => {
      await take();
      return (await readdir(root)).length === 1;
    });
  });

  test('is not taken from a gateway that lives, however long it says nothing', async () => {
    isAway = true;
    const first = open();
    first.recordEvent(denied(1), stranger());
    await eventually(async () => (await files()).length === 1);
    open();
    await eventually(async () => (await readdir(root)).length === 2);
    expect(saw('spool.adopted')).toBe(false);
    // The control: one that has ended is taken at once.
    await first.stop();
    open();
    await eventually(() => saw('spool.adopted'));
  });
});

describe('events that cannot be kept', () => {
  test('because the spool is full are counted exactly, and the count is recorded when there is room', async () => {
    isAway = true;
    const spool = open({ bytesMax: 60_000, segmentBytes: 10_000 });
    for (let n = 0; n < 500; n++) spool.recordEvent(denied(n), stranger());
    await eventually(() => saw('spool.full'));
    isAway = false;
    await eventually(async () => (await totalOf('gateway.access.denied.v1')) + (await lostTotal()) === 500);
    expect(await totalOf('gateway.access.denied.v1')).toBeGreaterThan(20);
    expect(await lostTotal()).toBeGreaterThan(300);
    await eventually(() => !spool.isDegraded);
  });

  test('because the disk refuses wait in memory up to a bound; beyond it they are counted, and nothing throws', async () => {
    const place = path.join(root, 'place');
    await writeFile(place, 'a file where the folder should be');
    const limits = { windowMs: 500, eachMax: 1, keysMax: 10_000, linesPerSecond: 100_000 };
    const spool = open({ root: place, limits });
    for (let n = 0; n < 5_500; n++) spool.recordEvent(denied(n), stranger());
    await eventually(() => spool.isDegraded && saw('spool.unwritable'));
    await rm(place);
    await mkdir(place);
    await eventually(async () => (await totalOf('gateway.access.denied.v1')) + (await lostTotal()) === 5_500);
    expect(await lostTotal()).toBeGreaterThan(400);
    expect(spool.isDegraded).toBe(false);
  });

  test('because their folder was taken away are counted as well, and recording goes on', async () => {
    isAway = true;
    await nats.kill();
    const spool = open();
    for (let n = 0; n < 10; n++) spool.recordEvent(denied(n), stranger());
    await eventually(async () => (await files()).length === 1);
    await rm(path.join(root, (await readdir(root))[0] ?? ''), { recursive: true });
    await nats.restart();
    isAway = false;
    await eventually(() => saw('spool.gone'));
    spool.recordEvent(denied(11), stranger());
    await eventually(async () => (await recorded()).some(({ resource }) => resource.id === 'GET /11'));
    await eventually(async () => (await lostTotal()) > 0);
  });
});
