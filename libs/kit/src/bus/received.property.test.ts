import { describe, expect, test } from '@jest/globals';
import { MsgHdrsImpl, MsgImpl } from '@nats-io/transport-node';
import type { Msg, Publisher } from '@nats-io/transport-node';
import fc from 'fast-check';
import { readHeaders, receivedHeaders } from './received.js';
import { header } from './wire.js';

const publisher = { publish: () => undefined } as unknown as Publisher;
const text = new TextEncoder();

function message(hdr: number, data: Uint8Array): Msg {
  const subject = text.encode('demo.thing.get.v1');
  return new MsgImpl({ subject, sid: 1, hdr, size: data.length }, data, publisher) as Msg;
}

/** A message as the client hands it out, with this block of headers and a body behind it. */
function messageWith(block: string): Msg {
  const [head, body] = [text.encode(block), text.encode('{"Pn-Deadline":1}\r\nPn-Actor: body\r\n')];
  const data = new Uint8Array([...head, ...body]);
  return message(head.length, data);
}

/** What the client reads, or undefined when it throws. */
function readByClient(block: string) {
  try {
    return readHeaders(MsgHdrsImpl.decode(text.encode(block)));
  } catch {
    return undefined;
  }
}

const known = Object.values(header);
const name = fc.oneof(
  fc.constantFrom(...known),
  fc.constantFrom('pn-actor', 'X-Pn-Actor', 'Pn-Actor2', 'Pn', 'a b', '', 'Pn-Actor '),
);
const value = fc.oneof(
  fc.constantFrom('', ' x ', 'Pn-Actor: x', 'a\rb', 'a\nb', 'x\r', '\n', ':', 'é', '1700000000000'),
  fc.string(),
);
const line = fc.oneof(
  fc.tuple(name, fc.constantFrom(':', ': ', ''), value).map((parts) => parts.join('')),
  fc.string(),
);
const block = fc
  .tuple(fc.constantFrom('NATS/1.0', 'NATS/1.0 503', ''), fc.array(line, { maxLength: 8 }))
  .map(([version, lines]) => `${[version, ...lines].join('\r\n')}\r\n\r\n`);

describe('headers read where they stand', () => {
  test('are those that the client reads, whatever was sent; what it refuses gives no half lines and no error', () => {
    let [same, refused] = [0, 0];
    fc.assert(
      fc.property(block, (sent) => {
        const received = receivedHeaders(messageWith(sent));
        const expected = readByClient(sent);
        for (const one of known) {
          if (expected === undefined) expect(received.get(one) ?? '').not.toMatch(/[\r\n]/);
          else expect(received.get(one)).toBe(expected.get(one));
        }
        if (expected === undefined) refused++;
        else same++;
      }),
      { numRuns: 2_000 },
    );
    // The control: both occur.
    expect(same).toBeGreaterThan(100);
    expect(refused).toBeGreaterThan(100);
  });

  test('are none when the message has none', () => {
    const received = receivedHeaders(message(-1, text.encode('NATS/1.0\r\nPn-Actor: x\r\n\r\n')));
    for (const one of known) expect(received.get(one)).toBeUndefined();
  });
});
