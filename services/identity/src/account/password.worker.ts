import { hashSync, verifySync } from '@node-rs/argon2';

/** What the hashing threads run. Synchronous on purpose: the asynchronous form would queue on libuv's shared pool. */
export interface HashJob {
  readonly password: string;
  readonly parameters: {
    readonly memoryCost: number;
    readonly timeCost: number;
    readonly parallelism: number;
    readonly outputLen: number;
  };
}

export interface VerifyJob {
  readonly password: string;
  readonly hash: string;
}

/** What came out, and how long this thread worked on it: the rest of the time the job waited. */
export interface Worked<T> {
  readonly result: T;
  readonly tookMs: number;
}

export function hash({ password, parameters }: HashJob): Worked<string> {
  return timed(() => hashSync(password, parameters));
}

export function verify({ password, hash }: VerifyJob): Worked<boolean> {
  return timed(() => verifySync(hash, password));
}

function timed<T>(work: () => T): Worked<T> {
  const startedAt = performance.now();
  const result = work();
  return { result, tookMs: performance.now() - startedAt };
}
