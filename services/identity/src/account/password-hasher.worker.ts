import { AppError } from '@prime-nest/contracts/errors';
import { inSpan } from '@prime-nest/kit/telemetry';
import { Piscina } from 'piscina';
import { hashQueue, hashWait, mark } from '../telemetry.js';
import { hashParameters } from './password-hash.js';
import { normalizePassword } from './password-rules.js';
import type { HashJob, VerifyJob, Worked } from './password.worker.js';

/** Hashing and comparing of passwords. Both throw `overloaded` at once instead of queueing without bound. */
export interface PasswordHasher {
  /** A PHC string with a fresh salt. */
  hash(password: string): Promise<string>;
  verify(password: string, hash: string): Promise<boolean>;
  /** Throws `overloaded` when the next call would be refused: ask before doing something that only a hash justifies. */
  assertCapacity(): void;
  close(): Promise<void>;
}

export interface HasherOptions {
  readonly threads: number;
  /** Calls that may wait for a thread. */
  readonly queueMax: number;
}

/**
 * A hasher on threads of its own. A hash costs milliseconds of a core and 19 MiB; on libuv's pool it would stand in
 * the way of signatures, DNS and files, and without a bound a flood of logins would take all memory.
 */
export function createPasswordHasher({ threads, queueMax }: HasherOptions): PasswordHasher {
  // Tests run the sources, and Node strips the types of the worker by itself.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const pool = new Piscina<HashJob | VerifyJob, Worked<string | boolean>>({
    filename: new URL(`./password.worker.${extension}`, import.meta.url).href,
    minThreads: threads,
    maxThreads: threads,
    maxQueue: queueMax,
  });
  hashQueue.from(() => pool.queueSize);
  const assertCapacity = () => {
    if (pool.queueSize >= queueMax) throw overloaded();
  };
  const run = async (name: 'hash' | 'verify', job: HashJob | VerifyJob) => {
    assertCapacity();
    try {
      return await inSpan(`password.${name}`, {}, async (span) => {
        const startedAt = performance.now();
        const { result, tookMs } = await pool.run(job, { name });
        const waitedMs = Math.max(0, performance.now() - startedAt - tookMs);
        hashWait.observe(waitedMs / 1000);
        span.setAttribute(mark.hashWaitMs, Math.round(waitedMs * 100) / 100);
        return result;
      });
    } catch (error) {
      if (error instanceof Error && error.message === 'Task queue is at limit') throw overloaded(error);
      throw error;
    }
  };
  return {
    hash: async (password) =>
      String(await run('hash', { password: normalizePassword(password), parameters: hashParameters })),
    verify: async (password, hash) => (await run('verify', { password: normalizePassword(password), hash })) === true,
    assertCapacity,
    close: () => pool.close(),
  };
}

function overloaded(cause?: unknown): AppError {
  return new AppError('overloaded', { details: { retryAfterSeconds: 1 }, internal: { pool: 'password' }, cause });
}
