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

export function hash({ password, parameters }: HashJob): string {
  return hashSync(password, parameters);
}

export function verify({ password, hash }: VerifyJob): boolean {
  return verifySync(hash, password);
}
