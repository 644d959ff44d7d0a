import { AppError } from '@prime-nest/contracts/errors';
import { isError } from '@prime-nest/kit/redact';
import { Pool } from 'undici';
import type { UpstreamAnswer } from './answer.js';

export interface HttpCall {
  readonly method: string;
  /** Path and query, encoded, below the upstream's base. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly timeoutMs: number;
  readonly answerBytesMax: number;
}

const connectTimeoutMs = 1_000;
const headerBytesMax = 16 * 1024;
/** Below what servers commonly grant an idle connection, so that they are not the first to close it. */
const idleMs = 4_000;
/** The route's own time limit ends a call; this only bounds what it cannot. */
const lastNetMs = 12_000;

/** Before a connection there is: the service has not seen the request. */
const notReached = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/**
 * Connections to one service over HTTP. Its origin is fixed when it is made: a call names a path and cannot leave it.
 * Redirects are not followed, and a request is never sent twice, because nobody knows what the first one did.
 */
export class HttpUpstream {
  readonly #pool: Pool;

  constructor(origin: string, connections: number) {
    this.#pool = new Pool(origin, {
      connections,
      pipelining: 1,
      connect: { timeout: connectTimeoutMs },
      keepAliveTimeout: idleMs,
      keepAliveMaxTimeout: idleMs,
      maxHeaderSize: headerBytesMax,
      headersTimeout: lastNetMs,
      bodyTimeout: lastNetMs,
    });
  }

  /**
   * Sends one request and answers whatever came back whole. Throws `upstream_unavailable` when there is no connection,
   * `upstream_timeout` when the time is over, `upstream_failed` when the answer broke off, is too large or no HTTP.
   */
  async run({ method, target, headers, body, timeoutMs, answerBytesMax }: HttpCall): Promise<UpstreamAnswer> {
    try {
      const answer = await this.#pool.request({
        method: method,
        path: target,
        headers,
        body: body.length === 0 ? null : body,
        signal: AbortSignal.timeout(timeoutMs),
      });
      const chunks: Buffer[] = [];
      let size = 0;
      // Leaving the loop destroys the body, and with it the connection: nobody drains what is too large.
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > answerBytesMax) throw failed('upstream_failed', 'answer too large');
        chunks.push(chunk);
      }
      return { status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) };
    } catch (error) {
      throw asUpstreamError(error);
    }
  }

  /** Lets what is under way end. */
  async close(): Promise<void> {
    await this.#pool.close();
  }

  /** Ends everything now. */
  async destroy(): Promise<void> {
    await this.#pool.destroy();
  }
}

function asUpstreamError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  const name = isError(error) ? error.name : '';
  if (name === 'TimeoutError' || name === 'AbortError') return failed('upstream_timeout', 'time is over');
  const codes = codesOf(error);
  if (codes.some((code) => notReached.has(code))) return failed('upstream_unavailable', codes.join(' '));
  return failed('upstream_failed', codes.join(' ') || name);
}

/** With several addresses of a name each has its own error. */
function codesOf(error: unknown): string[] {
  if (!isError(error)) return [];
  const own = 'code' in error && typeof error.code === 'string' ? [error.code] : [];
  const inner = 'errors' in error && Array.isArray(error.errors) ? error.errors.flatMap(codesOf) : [];
  return [...new Set([...own, ...inner])];
}

function failed(code: 'upstream_unavailable' | 'upstream_timeout' | 'upstream_failed', reason: string): AppError {
  return new AppError(code, { internal: { reason } });
}
