import { appendFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { eventStream } from '@prime-nest/contracts/events';
import { freshContext } from '@prime-nest/kit/context';
import { eventually } from '@prime-nest/testkit/eventually';
import {
  denied,
  far,
  files,
  inLog,
  inStream,
  lostTotal,
  open,
  provision,
  recorded,
  saw,
  stranger,
  take,
  totalOf,
  useFarEnd,
} from '../../test/far-end.js';

useFarEnd();

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
      return (await readdir(far.root)).length === 0;
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
    far.isAway = true;
    spool.recordEvent(denied(1), stranger());
    await eventually(async () => (await totalOf('gateway.access.denied.v1')) === 1);
    await far.nats.kill();
    for (let n = 2; n < 50; n++) spool.recordEvent(denied(n), stranger());
    await far.nats.restart();
    await eventually(async () => (await totalOf('gateway.access.denied.v1')) === 49);
    expect((await files()).length).toBe(1);
  });

  test('that JetStream has lost goes out again', async () => {
    const spool = open();
    for (let n = 0; n < 20; n++) spool.recordEvent(denied(n), stranger());
    await eventually(async () => (await inStream()) === 21);
    await far.manager.streams.delete(eventStream);
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
    far.taken = new Map();
    await far.manager.streams.delete(eventStream);
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
    far.isAway = true;
    await far.nats.kill();
    const first = open();
    for (let n = 0; n < 30; n++) first.recordEvent(denied(n), stranger());
    await eventually(async () => (await files()).length === 1);
    await first.stop();
    const [file] = await files();
    await appendFile(path.join(far.root, file ?? ''), '00000000 ["torn');
    await far.nats.restart();
    far.isAway = false;
    open();
    await eventually(async () => (await totalOf('gateway.access.denied.v1')) === 30);
    expect(far.taken.size).toBe(2);
    const torn = far.lines.find((line) => line.includes('spool.adopted'));
    expect(JSON.parse(torn ?? '{}')).toMatchObject({ entries: 32, bytes: 15 });
    await eventually(async () => {
      await take();
      return (await readdir(far.root)).length === 1;
    });
  });

  test('is not taken from a gateway that lives, however long it says nothing', async () => {
    far.isAway = true;
    const first = open();
    first.recordEvent(denied(1), stranger());
    await eventually(async () => (await files()).length === 1);
    open();
    await eventually(async () => (await readdir(far.root)).length === 2);
    expect(saw('spool.adopted')).toBe(false);
    // The control: one that has ended is taken at once.
    await first.stop();
    open();
    await eventually(() => saw('spool.adopted'));
  });
});

describe('events that cannot be kept', () => {
  test('because the spool is full are counted exactly, and the count is recorded when there is room', async () => {
    far.isAway = true;
    const spool = open({ bytesMax: 60_000, segmentBytes: 10_000 });
    for (let n = 0; n < 500; n++) spool.recordEvent(denied(n), stranger());
    await eventually(() => saw('spool.full'));
    far.isAway = false;
    await eventually(async () => (await totalOf('gateway.access.denied.v1')) + (await lostTotal()) === 500);
    expect(await totalOf('gateway.access.denied.v1')).toBeGreaterThan(20);
    expect(await lostTotal()).toBeGreaterThan(300);
    await eventually(() => !spool.isDegraded);
  });

  test('because the disk refuses wait in memory up to a bound; beyond it they are counted, and nothing throws', async () => {
    const place = path.join(far.root, 'place');
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
    far.isAway = true;
    await far.nats.kill();
    const spool = open();
    for (let n = 0; n < 10; n++) spool.recordEvent(denied(n), stranger());
    await eventually(async () => (await files()).length === 1);
    await rm(path.join(far.root, (await readdir(far.root))[0] ?? ''), { recursive: true });
    await far.nats.restart();
    far.isAway = false;
    await eventually(() => saw('spool.gone'));
    spool.recordEvent(denied(11), stranger());
    await eventually(async () => (await recorded()).some(({ resource }) => resource.id === 'GET /11'));
    await eventually(async () => (await lostTotal()) > 0);
  });
});
