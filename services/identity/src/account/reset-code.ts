import { createHash } from 'node:crypto';

/** How long a reset code may be used, in seconds. */
export const resetLifetimeSeconds = 30 * 60;

const prefix = 'pr1_';
export const resetCodeBytes = 32;

/** 256 random bits as text. It is a credential: never log it. */
export function formatResetCode(random: Buffer): string {
  return prefix + random.toString('base64url');
}

/** What is stored of a code, or undefined when the text is none. Full entropy needs no slow hash. */
export function resetCodeHash(code: string): Buffer | undefined {
  const encoded = code.startsWith(prefix) ? code.slice(prefix.length) : '';
  const bytes = Buffer.from(encoded, 'base64url');
  if (bytes.length !== resetCodeBytes || bytes.toString('base64url') !== encoded) return undefined;
  return createHash('sha256').update(bytes).digest();
}
