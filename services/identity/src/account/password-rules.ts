import { AppError, type Violation } from '@prime-nest/contracts/errors';
import { isCommonPassword } from './common-password.js';

/** In characters as a person counts them (code points). No rule asks for kinds of characters (NIST SP 800-63B). */
export const passwordLengthMin = 12;

/** The form in which a password is hashed and compared: one spelling for what looks the same (Unicode NFKC). */
export function normalizePassword(password: string): string {
  return password.normalize('NFKC');
}

export interface PasswordCheck {
  readonly password: string;
  readonly email: string;
  readonly common: ReadonlySet<string>;
  /** JSON Pointer of the field that holds the password in the request. */
  readonly pointer: string;
}

/** Throws `password_rejected`, naming the rule and never the password, unless the password may be set. */
export function assertPasswordAllowed({ password, email, common, pointer }: PasswordCheck): void {
  const normalized = normalizePassword(password);
  const violations: Violation[] = [];
  if ([...normalized].length < passwordLengthMin) {
    violations.push({ pointer, message: `must be at least ${passwordLengthMin} characters long` });
  }
  if (isCommonPassword(normalized, common)) violations.push({ pointer, message: 'is too common or too easy to guess' });
  if (normalized.toLowerCase().trim() === email)
    violations.push({ pointer, message: 'must not be the e-mail address' });
  if (violations.length > 0) throw new AppError('password_rejected', { details: { violations } });
}
