import type { z } from 'zod';
import type { ErrorCode } from './errors.js';

/**
 * What crosses the bus on one subject. Requests are strict (unknown fields are refused), responses are tolerant
 * (unknown fields are ignored): deploy the server first, then its callers.
 */
export interface RpcContract {
  readonly request: z.ZodType;
  readonly response: z.ZodType;
  /** Codes this subject answers beyond {@link commonErrors}. Anything else a caller receives is `internal`. */
  readonly errors: readonly ErrorCode[];
  /** Deadline of one call in milliseconds. The caller gives up with `unavailable`; the server drops expired work. */
  readonly timeoutMs: number;
  /** For the subjects that every request needs. */
  readonly hot?: HotPath;
}

/**
 * What a busy subject spares. Neither changes what is accepted or answered: where `is…` answers false, for whatever
 * reason, the schema decides.
 */
export interface HotPath {
  /** True only for a value that the schema accepts and hands out as it is. */
  readonly isRequest: (value: unknown) => boolean;
  readonly isResponse: (value: unknown) => boolean;
  /** `debug`: a call that succeeded is logged at `info` only in a trace that is recorded. Failures always are. */
  readonly servedLevel: 'info' | 'debug';
}

/** Subject (`<service>.<noun>.<verb>.v<n>`) to contract. A breaking change is a new `v`. */
export type RpcContracts = Readonly<Record<string, RpcContract>>;

export type RpcSubject<C extends RpcContracts> = keyof C & string;
/** The request as a caller writes it: fields with defaults may be left out. */
export type RpcRequest<C extends RpcContracts, S extends keyof C> = z.input<C[S]['request']>;
/** The request as a handler receives it: parsed, with defaults filled in. */
export type RpcParsed<C extends RpcContracts, S extends keyof C> = z.output<C[S]['request']>;
export type RpcResponse<C extends RpcContracts, S extends keyof C> = z.output<C[S]['response']>;

/** The service that answers a subject: its first token, which is also the queue group. */
export function serviceOf(subject: string): string {
  return subject.slice(0, subject.indexOf('.'));
}
