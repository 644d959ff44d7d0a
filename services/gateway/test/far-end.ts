import { readdir } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from '@jest/globals';
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
import type { GatewayEventDraft } from '../src/spool/record-event.js';
import { Spool } from '../src/spool/spool.job.js';
import type { SpoolOptions } from '../src/spool/spool.job.js';

/** Spools of one folder, and the far end: a stream, and the events in it as the log would take them. */
interface FarEnd {
  nats: TestServer;
  bus: NatsConnection;
  manager: JetStreamManager;
  root: string;
  spools: Spool[];
  lines: string[];
  /** By epoch and number. */
  taken: Map<string, Map<number, AuditEvent>>;
  takenTo: number;
  /** Their bytes, by id. */
  entries: Map<string, Uint8Array>;
  /** The log answers nothing. */
  isAway: boolean;
}
export const far = { spools: [] as Spool[], takenTo: 0 } as FarEnd;

const held = (epoch: string) => far.taken.get(epoch) ?? new Map<number, AuditEvent>();
const ask: WatchOptions['ask'] = ({ epoch }) => {
  if (far.isAway) return Promise.reject(new Error('away'));
  let sequence = 0;
  while (held(epoch).has(sequence + 1)) sequence++;
  return Promise.resolve({ sequence, checkpoint: null });
};

/** Takes what the stream holds beyond what was taken before. */
export async function take(): Promise<void> {
  const { state } = await far.manager.streams.info(eventStream);
  if (state.last_seq < far.takenTo) far.takenTo = 0;
  for (let seq = Math.max(1, state.first_seq, far.takenTo + 1); seq <= state.last_seq; seq++) {
    const message = await far.manager.streams.getMessage(eventStream, { seq });
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
      far.taken.set(epoch, held(epoch).set(first + i, event));
      far.entries.set(event.id, entry);
    }
    far.takenTo = seq;
  }
}

/** Events in the stream, not taken. */
export async function inStream(): Promise<number> {
  const { state } = await far.manager.streams.info(eventStream);
  let events = 0;
  for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
    const message = await far.manager.streams.getMessage(eventStream, { seq });
    events += decodeEventBatch(message?.data ?? new Uint8Array())?.length ?? 1;
  }
  return events;
}

/** Every event once, whatever number it came under; behind a gap in its epoch the log takes none. */
export async function inLog(): Promise<AuditEvent[]> {
  await take();
  const events = new Map<string, AuditEvent>();
  for (const numbers of far.taken.values()) {
    for (let n = 1, event = numbers.get(n); event !== undefined; event = numbers.get(++n)) events.set(event.id, event);
  }
  return [...events.values()];
}

/** The same, and there is no gap. */
export async function recorded(): Promise<AuditEvent[]> {
  const events = await inLog();
  for (const numbers of far.taken.values()) {
    expect([...numbers.keys()].sort((a, b) => a - b)).toEqual(Array.from(numbers, (_, i) => i + 1));
  }
  return events;
}

const rolledUp = (event: AuditEvent) =>
  (event.change?.after as { rollUp?: { count: number } } | undefined)?.rollUp?.count ?? 1;
const lost = (event: AuditEvent) =>
  Object.values((event.change?.after as { lost: Record<string, number> }).lost).reduce((a, b) => a + b, 0);
export const totalOf = async (type: string) =>
  (await recorded()).filter((event) => event.type === type).reduce((sum, event) => sum + rolledUp(event), 0);
export const lostTotal = async () =>
  (await recorded())
    .filter(({ type }) => type === 'gateway.recording.lost.v1')
    .reduce((sum, event) => sum + lost(event), 0);

export const denied = (n: number): GatewayEventDraft => ({
  type: 'gateway.access.denied.v1',
  outcome: 'denied',
  reasonCode: 'forbidden',
  resourceId: `GET /${n}`,
});
export const stranger = () => freshContext({ type: 'anonymous' });

export function open(options: Partial<SpoolOptions> = {}): Spool {
  const log = createLogger({
    service: 'gateway',
    level: 'info',
    destination: { write: (line) => void far.lines.push(line) },
  });
  const receipts = { ask, intervalMs: 20, patienceMs: 500 };
  const limits = { windowMs: 500, eachMax: 3, keysMax: 1_000, linesPerSecond: 100_000 };
  const spool = new Spool({
    root: far.root,
    bytesMax: 1_000_000,
    connection: far.bus,
    receipts,
    limits,
    clock: systemClock,
    farewellMs: 300,
    log,
    ...options,
  });
  spool.start();
  far.spools.push(spool);
  return spool;
}

/** The events are in the stream, which loses them before anybody takes them. */
export async function losesAll(events: number): Promise<Uint8Array[]> {
  await eventually(async () => (await inStream()) === events);
  await take();
  const seen = [...far.entries.values()];
  far.taken = new Map();
  far.entries = new Map();
  await far.manager.streams.delete(eventStream);
  await provision();
  return seen;
}

export const files = async () =>
  (await readdir(far.root, { recursive: true })).filter((name) => name.endsWith('.records'));
export const saw = (event: string) => far.lines.some((line) => line.includes(`"${event}"`));

/** A new stream counts anew. */
export async function provision(): Promise<void> {
  await provisionStreams({ servers: `nats://127.0.0.1:${far.nats.port}` });
  far.takenTo = 0;
}

/** Before each test of the file: an empty folder, an empty stream and an empty log. */
export function useFarEnd(): void {
  beforeAll(async () => {
    const dataDir = await runFolder('spool-nats');
    far.nats = await controllable((port) => startNats({ dataDir, port, env: { ...process.env, NATS_URL: undefined } }));
  });
  afterAll(async () => {
    await far.nats.stop();
  });
  beforeEach(async () => {
    far.taken = new Map();
    far.entries = new Map();
    far.lines = [];
    far.isAway = false;
    far.root = await runFolder('spool');
    const servers = `nats://127.0.0.1:${far.nats.port}`;
    far.bus = await connectBus({ servers, name: 'gateway', log: createLogger({ service: 'x', level: 'silent' }) });
    far.manager = await jetstreamManager(far.bus);
    await far.manager.streams.delete(eventStream).catch(() => undefined);
    await provision();
  });
  afterEach(async () => {
    far.isAway = true;
    await Promise.all(far.spools.map((spool) => spool.stop()));
    far.spools = [];
    await far.bus.close();
  });
}
