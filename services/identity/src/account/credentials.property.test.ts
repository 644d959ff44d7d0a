import { createSecretKey } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { AppError } from '@prime-nest/contracts/errors';
import fc from 'fast-check';
import { isCommonPassword } from './common-password.js';
import { mintDeviceToken, readDeviceToken } from './device.js';
import { assertPasswordAllowed, normalizePassword, passwordLengthMin } from './password-rules.js';
import { formatResetCode, resetCodeBytes, resetCodeHash } from './reset-code.js';

const key = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => createSecretKey(bytes));
const common = new Set(['correct', 'dragon', 'liverpool']);
const noise = fc.string({ unit: 'binary' });

describe('a device token', () => {
  test('is read for its own account and key, and by nobody else', () => {
    fc.assert(
      fc.property(
        fc.tuple(key, key),
        fc.tuple(fc.uuid(), fc.uuid()),
        fc.uuid(),
        ([own, other], [account, stranger], device) => {
          const text = mintDeviceToken(own, account, device);
          expect(readDeviceToken(own, account, text)).toBe(device);
          if (account !== stranger) expect(readDeviceToken(own, stranger, text)).toBeUndefined();
          if (!own.equals(other)) expect(readDeviceToken(other, account, text)).toBeUndefined();
        },
      ),
    );
  });

  test('that was changed in any place is none, and noise is refused without an exception', () => {
    const own = createSecretKey(Buffer.alloc(32, 3));
    const text = mintDeviceToken(own, 'me', '01900000-0000-7000-8000-00000000abcd');
    fc.assert(
      fc.property(fc.nat(text.length - 1), noise, (at, inserted) => {
        const changed = text.slice(0, at) + inserted + text.slice(at + 1);
        if (changed !== text) expect(readDeviceToken(own, 'me', changed)).toBeUndefined();
        expect(readDeviceToken(own, 'me', inserted)).toBeUndefined();
      }),
    );
  });
});

describe('a reset code', () => {
  test('has one spelling, and what is stored of it is not the code', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: resetCodeBytes, maxLength: resetCodeBytes }), (bytes) => {
        const code = formatResetCode(Buffer.from(bytes));
        const stored = resetCodeHash(code);
        expect(stored).toHaveLength(32);
        expect(stored?.equals(Buffer.from(bytes))).toBe(false);
        for (const spelling of [
          `${code}=`,
          `${code} `,
          code.slice(0, -1),
          code.toUpperCase().replace('PR1_', 'PR1_'),
        ]) {
          if (spelling !== code) expect(resetCodeHash(spelling)?.equals(stored ?? Buffer.of()) ?? false).toBe(false);
        }
      }),
    );
  });

  test('is nothing else: noise is refused without an exception', () => {
    fc.assert(
      fc.property(noise, (text) => {
        expect(resetCodeHash(text)).toBeUndefined();
        expect(resetCodeHash(`pr1_${text}`)).toBeUndefined();
      }),
    );
  });
});

describe('a new password', () => {
  const check = (password: string, email = 'somebody@example.org') => {
    try {
      assertPasswordAllowed({ password, email, common, pointer: '/password' });
      return undefined;
    } catch (error) {
      return error as AppError;
    }
  };

  test('is judged in one spelling: two that look the same get the same answer', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (password) => {
        const form = (error: AppError | undefined) => JSON.stringify(error?.details);
        expect(form(check(password.normalize('NFD')))).toBe(form(check(password.normalize('NFC'))));
        expect(normalizePassword(normalizePassword(password))).toBe(normalizePassword(password));
      }),
    );
  });

  test('is refused when it is short, common or the e-mail address, and the refusal does not repeat it', () => {
    const weak = fc.oneof(
      fc.string({ unit: 'grapheme', minLength: 4, maxLength: passwordLengthMin - 3 }),
      fc.constantFrom(...common).chain((word) => fc.stringMatching(/^[0-9!?.]{4,8}$/).map((tail) => word + tail)),
      fc.constant('somebody@example.org'),
    );
    fc.assert(
      fc.property(weak, (password) => {
        const error = check(password);
        if ([...password.normalize('NFKC')].length >= passwordLengthMin && error === undefined)
          return expect(isCommonPassword(password, common)).toBe(false);
        expect(error).toBeInstanceOf(AppError);
        expect(error?.code).toBe('password_rejected');
        if (password.length > 8) expect(JSON.stringify(error?.details)).not.toContain(password);
      }),
    );
    // The control: an ordinary long one is accepted, whatever characters it is made of.
    for (const good of ['four words in a row', 'wort wort wort bild', 'ценный пароль тут'])
      expect(check(good)).toBeUndefined();
  });

  test('made of one short part again and again is common, however long', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 4 }), fc.integer({ min: 4, max: 40 }), (part, times) => {
        expect(isCommonPassword(part.repeat(times), common)).toBe(true);
      }),
    );
  });
});
