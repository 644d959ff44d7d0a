import { describe, expect, test } from '@jest/globals';
import { eventSubject } from '@prime-nest/contracts/events';
import { makeEvent, rawMessage } from '../../test/harness.js';
import { entryBytes, entryBytesMax, readEvent } from './entry.js';

const event = makeEvent('rbac.role.updated.v1', { change: { before: { name: 'a' }, after: { name: 'ü\u0000' } } });
const subject = eventSubject(event.type);
const reject = (text: string | Buffer, on = subject as string) => readEvent({ subject: on, data: Buffer.from(text) });

describe('reading an event', () => {
  test('canonical bytes of a valid event are accepted as they are', () => {
    expect(readEvent({ subject, data: entryBytes(event) })).toEqual({ event });
  });

  test.each([
    ['not_json', Buffer.from([0xff, 0xfe])],
    ['not_json', '{'],
    ['not_json', `\uFEFF${entryBytes(event).toString()}`],
    ['not_canonical', ` ${entryBytes(event).toString()}`],
    ['not_canonical', entryBytes(event).toString().replace('{"action"', '{"action":"x","action"')],
    ['not_canonical', '{"a":"\\ud800"}'],
    ['wrong_schema', '{}'],
    ['wrong_schema', 'null'],
    ['wrong_schema', entryBytes({ ...event, extra: 1 } as never)],
    ['oversize', Buffer.alloc(entryBytesMax + 1, 0x20)],
    ['too_deep', '['.repeat(20_000) + ']'.repeat(20_000)],
  ])('%s is what other bytes are', (rejection, data) => {
    expect(reject(data)).toEqual({ rejection });
  });

  test('an event of a newer source, of a type that this version does not list, is read like any other', () => {
    const newer = { ...event, type: 'rbac.policy.imported.v1', action: 'policy.import' };
    expect(reject(entryBytes(newer), eventSubject(newer.type))).toEqual({ event: newer });
    const misspelt = { ...event, type: 'rbac.policy.imported' };
    expect(reject(entryBytes(misspelt), eventSubject(misspelt.type))).toEqual({ rejection: 'wrong_schema' });
  });

  test('an event on the subject of another type is not believed', () => {
    expect(reject(entryBytes(event), 'evt.rbac.role.deleted.v1')).toEqual({ rejection: 'wrong_subject' });
    expect(reject(entryBytes({ ...event, source: 'identity' }))).toEqual({ rejection: 'wrong_source' });
  });
});

describe('reading a message', () => {
  test('a header that names another source than the subject costs the message its place', () => {
    const own = rawMessage(subject, entryBytes(event), { source: 'rbac', epoch: 'e', sequence: '7' });
    expect(own).toMatchObject({
      source: 'rbac',
      place: { epoch: 'e', sequence: 7 },
      reading: { event: { id: event.id } },
    });
    const foreign = rawMessage(subject, entryBytes(event), { source: 'identity', epoch: 'e', sequence: '7' });
    expect(foreign).toMatchObject({ source: 'rbac', place: undefined, reading: { rejection: 'wrong_source' } });
  });

  test.each(['', '0', '-1', '1e3', '01', '1.5', '9'.repeat(17), ' 1'])('%j is no sequence number', (sequence) => {
    expect(rawMessage(subject, entryBytes(event), { source: 'rbac', epoch: 'e', sequence }).place).toBeUndefined();
  });
});
