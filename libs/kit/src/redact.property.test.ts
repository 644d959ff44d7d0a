import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { maskText, redact, wellFormed } from './redact.js';

const canary = 'canary8f2c61d0';
const sensitive = fc.constantFrom(
  'password',
  'newPassword',
  'refresh_token',
  'Authorization',
  'clientSecret',
  'cookie',
);
const harmless = fc.string({ maxLength: 20 });

/** Objects of any shape in which the canary stands only under names of credentials. */
const carriers = fc.letrec((tie) => ({
  node: fc.oneof(
    { maxDepth: 4 },
    fc.jsonValue({ maxDepth: 2 }),
    fc.tuple(sensitive, fc.constant(canary)).map(([key, value]) => ({ [key]: value })),
    fc.array(tie('node'), { maxLength: 4 }),
    fc.dictionary(harmless, tie('node'), { maxKeys: 4 }),
    fc.dictionary(harmless, tie('node'), { maxKeys: 4 }).map((fields) => new Map(Object.entries(fields))),
    fc.tuple(sensitive, tie('node')).map(([key, value]) => ({ [key]: [value, canary] })),
  ),
})).node;

describe('what is written down', () => {
  test('never holds the value of a credential, in an object of any shape', () => {
    fc.assert(fc.property(carriers, (value) => expect(JSON.stringify(redact(value)) ?? '').not.toContain(canary)));
    // The control: under another name it is written.
    expect(JSON.stringify(redact({ a: [{ b: canary }] }))).toContain(canary);
  });

  test('is plain data for any value at all, and no value makes the copying throw', () => {
    const anything = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
    });
    fc.assert(
      fc.property(anything, (value) => {
        expect(() => JSON.stringify(redact(value))).not.toThrow();
      }),
    );
  });

  test('has no password of a URL, no Authorization value and no token, whatever stands around it', () => {
    const secrets = fc.constantFrom(
      `postgres://user:${canary}@host/db`,
      `Bearer ${canary}`,
      `eyJhbGciOiJSUzI1NiJ9.eyJ${canary}.${canary}`,
    );
    const around = fc.string().filter((text) => !/[A-Za-z0-9+/=_.:~-]$/.test(text));
    fc.assert(
      fc.property(around, secrets, fc.string(), (before, secret, after) => {
        expect(maskText(`${before} ${secret} ${after}`)).not.toContain(canary);
      }),
    );
  });

  test('is masked once: masking it again changes nothing', () => {
    fc.assert(fc.property(fc.string(), (text) => expect(maskText(maskText(text))).toBe(maskText(text))));
  });

  test('has a UTF-8 form', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.constantFrom('', '\ud800', '\udfff'), (text, lone) => {
        expect(wellFormed(text + lone)).not.toMatch(/\p{Surrogate}/u);
        expect(wellFormed(text)).toBe(text);
      }),
    );
  });
});
