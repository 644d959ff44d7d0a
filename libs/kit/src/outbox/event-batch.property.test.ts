import { describe, expect, test } from '@jest/globals';
import { eventBatchMax } from '@prime-nest/contracts/events';
import fc from 'fast-check';
import { cutIntoMessages, decodeEventBatch, encodeEventBatch } from './event-batch.js';

const noise = fc.string({ unit: 'binary' }).map((text) => text.toWellFormed());
const event = fc.record(
  {
    type: noise,
    entry: fc.uint8Array({ maxLength: 300 }),
    correlationId: noise,
    traceparent: noise,
    publisher: noise,
  },
  { requiredKeys: ['type', 'entry', 'correlationId', 'traceparent'] },
);
const events = fc.array(event, { minLength: 1, maxLength: eventBatchMax });
const plain = (list: ReturnType<typeof decodeEventBatch>) =>
  list?.map((one) => ({ ...one, entry: Buffer.from(one.entry).toString('hex') }));

describe('a message with several events', () => {
  test('brings each as it was, byte for byte, whatever the bytes are', () => {
    fc.assert(
      fc.property(events, (given) => {
        expect(plain(decodeEventBatch(encodeEventBatch(given)))).toEqual(plain(given));
      }),
    );
  });

  test('that is shorter or longer than it says is none', () => {
    fc.assert(
      fc.property(events, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 9 }), (given, cut, more) => {
        const body = encodeEventBatch(given);
        expect(decodeEventBatch(body.subarray(0, cut % body.length))).toBeUndefined();
        expect(decodeEventBatch(Buffer.concat([body, more]))).toBeUndefined();
      }),
    );
  });

  test.each([
    ['no head', '{}'],
    ['an empty one', '[]\n'],
    ['a head that is no JSON', '[\n'],
    ['a size below nothing', '[{"type":"a.b.c.v1","size":-1,"correlationId":"","traceparent":""}]\n'],
    ['a size that is no number', '[{"type":"a.b.c.v1","size":"1","correlationId":"","traceparent":""}]\nx'],
    ['a field that nobody knows', '[{"type":"a","size":1,"correlationId":"","traceparent":"","source":"b"}]\nx'],
    ['too many', `[${Array(65).fill('{"type":"a","size":0,"correlationId":"","traceparent":""}').join()}]\n`],
  ])('%s is none', (_name, body) => {
    expect(decodeEventBatch(Buffer.from(body))).toBeUndefined();
  });

  test('no bytes make the reader throw', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (body) => void decodeEventBatch(body)));
  });
});

describe('cutting a run into messages', () => {
  const run = fc.record({ first: fc.nat(1_000), sizes: fc.array(fc.nat(60_000), { maxLength: 300 }) });
  const entriesOf = ({ first, sizes }: { first: number; sizes: readonly number[] }) =>
    sizes.map((size, i) => ({ seq: BigInt(first + 1 + i), entry: { length: size } as Uint8Array }));

  test('keeps every entry in its place, and no message beyond what one may hold', () => {
    fc.assert(
      fc.property(run, (given) => {
        const entries = entriesOf(given);
        const messages = cutIntoMessages(entries);
        expect(messages.flat()).toEqual(entries);
        for (const message of messages) {
          const bytes = message.reduce((sum, { entry }) => sum + entry.length, 0);
          expect(message.length).toBeGreaterThan(0);
          expect(message.length).toBeLessThanOrEqual(eventBatchMax);
          expect(message.length === 1 || bytes <= 128 * 1024).toBe(true);
        }
      }),
    );
  });

  test('is the same from the next full message on, wherever it begins and ends', () => {
    fc.assert(
      fc.property(run, fc.nat(300), (given, skipped) => {
        const whole = entriesOf(given);
        const later = whole.slice(skipped);
        const isBeyond = (seq: bigint) => seq > BigInt(given.first + 1 + skipped + eventBatchMax);
        const beginnings = (list: typeof whole) =>
          cutIntoMessages(list).flatMap(([first]) => (first !== undefined && isBeyond(first.seq) ? [first.seq] : []));
        expect(beginnings(later)).toEqual(beginnings(whole));
      }),
    );
  });
});
