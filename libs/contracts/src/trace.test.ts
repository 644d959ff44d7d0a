import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatTraceparent, parseTraceparent } from './trace.js';

const hex = (length: number) =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'), { minLength: length, maxLength: length })
    .map((digits) => digits.join(''))
    .filter((text) => !/^0+$/.test(text));

test('a formatted trace context reads back as itself', () => {
  fc.assert(
    fc.property(hex(32), hex(16), fc.boolean(), (traceId, spanId, isSampled) => {
      const trace = { traceId, spanId, isSampled };
      expect(parseTraceparent(formatTraceparent(trace))).toEqual(trace);
    }),
  );
});

test('any other text is no trace context and never an exception', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(parseTraceparent(text)).toBeUndefined();
    }),
  );
});

test.each([
  ['all-zero trace id', `00-${'0'.repeat(32)}-b7ad6b7169203331-01`],
  ['all-zero span id', `00-0af7651916cd43dd8448eb211c80319c-${'0'.repeat(16)}-01`],
  ['upper case', '00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01'],
  ['forbidden version', 'ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
  ['trailing data in version 00', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x'],
  ['a line break', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n'],
])('refuses %s', (_name, header) => {
  expect(parseTraceparent(header)).toBeUndefined();
});

test('a later version may carry more after the flags', () => {
  expect(parseTraceparent('01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more')?.isSampled).toBe(true);
});
