import { generateKeyPairSync } from 'node:crypto';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { eventually } from '@prime-nest/testkit/eventually';
import { signedLog } from '@prime-nest/testkit/signed-log';
import {
  denied,
  far,
  files,
  inLog,
  losesAll,
  open,
  saw,
  stranger,
  take,
  totalOf,
  useFarEnd,
} from '../../test/far-end.js';

useFarEnd();

describe('a spool that knows the public key of the log', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const [foreign, another] = [Buffer.from('{"of":"somebody else"}'), Buffer.from('{"of":"somebody"}')];
  const forged = { intervalMs: 20, ask: () => Promise.resolve({ sequence: 1_000_000, checkpoint: null }) };
  const provenBy = (first: Buffer, held: () => Iterable<Uint8Array>, signer = privateKey) => ({
    ask: (request: Parameters<ReturnType<typeof signedLog>>[0]) => signedLog([first, ...held()], { signer })(request),
    keys: [publicKey],
  });
  const honest = provenBy(foreign, () => far.entries.values());
  const goes = async () => {
    await eventually(async () => {
      await take();
      return (await files()).length === 0;
    });
  };

  test.each([
    ['a log that has not signed them', undefined, () => honest],
    [
      'a log that another key has signed',
      'not_signed',
      (seen: Uint8Array[]) => provenBy(foreign, () => seen, generateKeyPairSync('ed25519').privateKey),
    ],
  ])('keeps what a forged receipt of %s confirms, and publishes it again', async (_name, fault, logOf) => {
    let seen: Uint8Array[] = [];
    const prove = { ...honest, ask: (request: Parameters<typeof honest.ask>[0]) => logOf(seen).ask(request) };
    const spool = open({ receipts: forged, prove });
    for (let n = 0; n < 20; n++) spool.recordEvent(denied(n), stranger());
    seen = await losesAll(21);
    await spool.stop();
    expect((await files()).length).toBe(1);
    const line = far.lines.find((text) => text.includes('"spool.log_not_believed"'));
    expect(line && (JSON.parse(line) as { reason: string }).reason).toBe(fault);
    const next = open({ prove: honest });
    await eventually(async () => (await totalOf('gateway.access.denied.v1')) === 20);
    const ended = next.stop();
    await goes();
    await ended;
  });

  test('keeps it because of the key: without one the same receipt is believed, and the events are gone', async () => {
    const spool = open({ receipts: forged });
    for (let n = 0; n < 20; n++) spool.recordEvent(denied(n), stranger());
    await losesAll(21);
    await spool.stop();
    expect(await files()).toEqual([]);
    open();
    await eventually(async () => (await inLog()).some(({ type }) => type === 'gateway.recording.started.v1'));
    expect([...far.entries.values()].some((entry) => Buffer.from(entry).includes('access.denied'))).toBe(false);
  });

  test('believes no log that does not begin with the one before, until an operator has put that one away', async () => {
    const first = open({ prove: honest });
    first.recordEvent(denied(1), stranger());
    await eventually(async () => (await totalOf('gateway.access.denied.v1')) === 1);
    const ended = first.stop();
    await goes();
    await ended;
    const rewritten = { prove: provenBy(another, () => far.entries.values()) };
    const second = open({ ...rewritten, segmentBytes: 1 });
    await eventually(async () => (await files()).length === 1);
    second.recordEvent(denied(2), stranger());
    await eventually(async () => (await totalOf('gateway.access.denied.v1')) === 2 && saw('spool.log_not_believed'));
    await second.stop();
    expect(far.lines.find((line) => line.includes('"spool.log_not_believed"'))).toContain('"rewritten"');
    expect((await files()).length).toBeGreaterThan(1);
    await rm(path.join(far.root, 'proven-checkpoint'));
    const third = open(rewritten);
    await eventually(() => saw('spool.epoch_done'));
    const stopped = third.stop();
    await goes();
    await stopped;
  });
});
