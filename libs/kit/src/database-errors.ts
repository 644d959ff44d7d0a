import { AppError } from '@prime-nest/contracts/errors';
import { isError } from './redact.js';

const nodeCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
]);

// The driver has no codes for these.
const driverMessages = [
  'timeout exceeded when trying to connect',
  'Connection terminated',
  'Query read timeout',
  'not queryable',
  'Client was closed',
  'Cannot use a pool after calling end',
  'Driver not Connected',
  'Query runner already released',
];

/** SQLSTATEs (PostgreSQL appendix A) that mean "not now": connection, resources, shutdown, timeouts, read-only standby. */
function isTransientState(state: string): boolean {
  return (
    state.startsWith('08') ||
    state.startsWith('53') ||
    /^57P0[1-5]$/.test(state) ||
    ['55P03', '57014', '25P03', '25P04', '25006'].includes(state)
  );
}

/** `unavailable` for a failure of the connection or of time, the error itself for everything else. */
export function asUnavailable(error: unknown): unknown {
  if (error instanceof AppError || !isConnectionFailure(error)) return error;
  return new AppError('unavailable', { internal: { dependency: 'database' }, cause: error });
}

function isConnectionFailure(error: unknown): boolean {
  const code = codeOf(error);
  if (code !== undefined && (nodeCodes.has(code) || isTransientState(code))) return true;
  return isError(error) && driverMessages.some((text) => error.message.includes(text));
}

/** Whether the connection may be in an unknown state: anything but a statement that PostgreSQL itself gave up on. */
export function isConnectionInDoubt(error: unknown): boolean {
  if (!(error instanceof AppError) || error.code !== 'unavailable') return false;
  return !['57014', '55P03'].includes(codeOf(error.cause) ?? '');
}

/** A serialization failure or a deadlock: the whole transaction may be run again (PostgreSQL §13.5). */
export function isRetryable(error: unknown): boolean {
  const code = codeOf(error);
  return code === '40001' || code === '40P01';
}

/** Whether a statement was refused because one before it in the same transaction has failed. */
export function isAbortedTransaction(error: unknown): boolean {
  return codeOf(error) === '25P02';
}

/** Whether `error` is a unique violation, of that constraint or index when one is named. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  return codeOf(error) === '23505' && (constraint === undefined || fieldOf(error, 'constraint') === constraint);
}

/** Whether `error` is a foreign key violation, in either direction. */
export function isForeignKeyViolation(error: unknown, constraint?: string): boolean {
  return codeOf(error) === '23503' && (constraint === undefined || fieldOf(error, 'constraint') === constraint);
}

function codeOf(error: unknown): string | undefined {
  return fieldOf(error, 'code');
}

/** TypeORM keeps the driver's error inside its own. */
function fieldOf(error: unknown, name: string): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const inner: unknown = 'driverError' in error ? error.driverError : undefined;
  for (const source of [inner, error]) {
    if (typeof source !== 'object' || source === null) continue;
    const value: unknown = Reflect.get(source, name);
    if (typeof value === 'string') return value;
  }
  return undefined;
}
