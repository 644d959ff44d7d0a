import { hashSync } from '@node-rs/argon2';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { AppError } from '@prime-nest/contracts/errors';
import { isCommonPassword } from './common-password.js';
import { loadCommonPasswords } from './common-passwords.store.js';
import { hashParameters, isCurrentHash } from './password-hash.js';
import { assertPasswordAllowed } from './password-rules.js';

let common: ReadonlySet<string>;
beforeAll(async () => void (common = await loadCommonPasswords()));

function verdict(password: string): string {
  try {
    assertPasswordAllowed({ password, email: 'somebody@example.org', common, pointer: '/password' });
    return 'accepted';
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    expect(JSON.stringify(error.details)).not.toContain(password);
    return (error.details.violations ?? []).map(({ message }) => message).join('; ');
  }
}

describe('password rules', () => {
  test('the list holds at least 3,000 passwords, all in lower case', () => {
    expect(common.size).toBeGreaterThanOrEqual(3000);
    for (const entry of common) expect(entry).toBe(entry.toLowerCase());
  });

  test.each([
    'correct horse battery staple',
    'orchid-lantern-42-quay',
    'no rule asks for digits',
    'x'.repeat(3) + 'yz-kelp-under-9',
    'пароль с пробелами и словами',
    'あいうえおかきくけこさしすせ',
    `${'long '.repeat(200)}end`,
  ])('accepts %p', (password) => expect(verdict(password)).toBe('accepted'));

  test.each(['eleven-char', 'short', '密码密码密码'])('refuses %p as too short', (password) => {
    expect(verdict(password)).toContain('at least 12 characters');
  });

  test.each([
    'Password1234',
    '!!password123!',
    'qwertyuiop123',
    '1q2w3e4r5t6y',
    'Administrator',
    'abcabcabcabcabc',
    'dragondragon',
    'aaaaaaaaaaaaaaaa',
    'abcdefghijklm',
    '123456789012345',
    '987654321098765',
  ])('refuses %p as easy to guess', (password) => {
    expect(verdict(password)).toContain('too common');
  });

  test('a common word among others is fine', () => {
    expect(isCommonPassword('my dragon likes marmalade', common)).toBe(false);
  });

  test('refuses the e-mail address, however it is written', () => {
    expect(verdict('Somebody@Example.ORG')).toContain('e-mail');
  });

  test('compares what looks the same: full-width letters are the plain ones', () => {
    expect(verdict('ｐａｓｓｗｏｒｄ１２３４')).toContain('too common');
  });
});

describe('stored hashes', () => {
  test('are argon2id with exactly the current parameters, or due to be replaced', () => {
    const hash = (change: object) => hashSync('whatever it is', { ...hashParameters, ...change });
    expect(isCurrentHash(hash({}))).toBe(true);
    for (const change of [
      { memoryCost: 8192 },
      { timeCost: 3 },
      { parallelism: 2 },
      { outputLen: 16 },
      { algorithm: 1 },
    ]) {
      expect(isCurrentHash(hash(change))).toBe(false);
    }
    expect(isCurrentHash('$2b$12$abcdefghijklmnopqrstuv')).toBe(false);
  });
});
