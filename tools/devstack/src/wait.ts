import { createConnection } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** Waiting longer cannot help: the wait ends at once. */
export class FinalError extends Error {
  override readonly name = 'FinalError';
}

export interface WaitOptions {
  readonly deadlineMs: number;
  /** What is waited for, as it reads in the error: "PostgreSQL to accept connections". */
  readonly what: string;
  readonly intervalMs?: number;
  /** Ends the wait at once with this error when it returns one: the thing waited for has died. */
  readonly failed?: () => Error | undefined;
}

/** Resolves when `attempt` returns without an error. The last error is the cause of the timeout's. */
export async function waitUntil<T>(attempt: () => T | Promise<T>, options: WaitOptions): Promise<T> {
  const end = performance.now() + options.deadlineMs;
  for (;;) {
    try {
      return await attempt();
    } catch (cause) {
      if (cause instanceof FinalError) throw cause;
      const failure = options.failed?.();
      if (failure !== undefined) throw failure;
      if (performance.now() > end) {
        throw new Error(`waited ${options.deadlineMs} ms for ${options.what}`, { cause });
      }
    }
    await delay(options.intervalMs ?? 20);
  }
}

/** Connects, says `greeting` and resolves with the first bytes of the answer; one second at most. */
export function firstAnswer(port: number, greeting: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    socket.setTimeout(1000, () => socket.destroy(new Error(`no answer on port ${port}`)));
    socket.once('error', reject);
    socket.once('data', (bytes) => {
      resolve(bytes.toString('utf8'));
      socket.destroy();
    });
    socket.once('close', () => reject(new Error(`port ${port} closed without an answer`)));
    if (greeting !== '') socket.write(greeting);
  });
}
