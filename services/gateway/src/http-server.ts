import { STATUS_CODES } from 'node:http';
import type { Server } from 'node:http';
import { Server as TcpServer } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { AppError } from '@prime-nest/contracts/errors';
import type { ErrorCode } from '@prime-nest/contracts/errors';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { clientAddress } from './http/client-address.js';
import { parseStrictJson } from './http/strict-json.js';
import type { JsonProblem } from './http/strict-json.js';
import { problemMediaType, problemOf } from './http/problem.js';

/** Bounds of one request and one connection. Node's own defaults let a slow client hold a connection for minutes. */
export const httpLimits = {
  /** Connections that wait to be accepted; a crowd that fills the queue keeps everybody else out for seconds. */
  backlog: 4_096,
  bodyBytesMax: 64 * 1024,
  jsonDepthMax: 32,
  headerBytesMax: 16 * 1024,
  headersTimeoutMs: 5_000,
  /** Head and body of one request have arrived. */
  requestTimeoutMs: 8_000,
  /** Nothing read or written. */
  idleSocketTimeoutMs: 30_000,
  /** A client that leaves an answer waiting takes this much of it in this time, or is cut. */
  readerBytesMin: 64 * 1024,
  readerTimeoutMs: 10_000,
  keepAliveTimeoutMs: 10_000,
  checkEveryMs: 1_000,
  /** The longest a handler may take; the deadlines of its calls are shorter, this is the last net. */
  handlerTimeoutMs: 15_000,
} as const;

export interface HttpServerOptions {
  readonly trustedProxyHops: number;
  readonly maxConnections: number;
  /** Of one address, IPv6 by /64. Counts only without a proxy in front, whose connections are everybody's. */
  readonly maxConnectionsPerAddress: number;
  /** Answers what the router refuses before any hook has seen it: an address that cannot be decoded. */
  readonly onUnroutable: (error: unknown, request: FastifyRequest, reply: FastifyReply) => void;
}

/** Fastify with our bounds: strict JSON as the only body, and problem documents for what never becomes a request. */
export function createHttpAdapter({
  trustedProxyHops,
  maxConnections,
  maxConnectionsPerAddress,
  onUnroutable,
}: HttpServerOptions): FastifyAdapter {
  const adapter = new FastifyAdapter({
    bodyLimit: httpLimits.bodyBytesMax,
    requestTimeout: httpLimits.requestTimeoutMs,
    connectionTimeout: httpLimits.idleSocketTimeoutMs,
    keepAliveTimeout: httpLimits.keepAliveTimeoutMs,
    // Hop 0 is the peer itself: with one trusted proxy its word about the next address counts, and no further.
    trustProxy: trustedProxyHops === 0 ? false : (_address: string, hop: number) => hop < trustedProxyHops,
    forceCloseConnections: 'idle',
    // While closing, requests on open connections are still served: refusing them would lose them.
    return503OnClosing: false,
    logger: false,
    routerOptions: { maxParamLength: 128, ignoreTrailingSlash: false, caseSensitive: true },
    http: {
      headersTimeout: httpLimits.headersTimeoutMs,
      requestTimeout: httpLimits.requestTimeoutMs,
      connectionsCheckingInterval: httpLimits.checkEveryMs,
      maxHeaderSize: httpLimits.headerBytesMax,
      keepAliveTimeout: httpLimits.keepAliveTimeoutMs,
    },
    clientErrorHandler: answerClientError,
    frameworkErrors: (error: unknown, request: unknown, reply: unknown) => {
      onUnroutable(error, request as FastifyRequest, reply as FastifyReply);
    },
  });
  const fastify = adapter.getInstance();
  fastify.server.maxConnections = maxConnections;
  cutSlowReaders(fastify.server);
  if (trustedProxyHops === 0) limitConnections(fastify.server, maxConnectionsPerAddress);
  // The one reading of a request body. There is no parser for anything else, forms and plain text included.
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    const parsed = parseStrictJson(body as Buffer, httpLimits.jsonDepthMax);
    if ('problem' in parsed) done(jsonError(parsed.problem), undefined);
    else done(null, parsed.value);
  });
  return adapter;
}

/**
 * Cuts connections that do not take what waits for them: whoever leaves data waiting has to take some at a pace that any
 * real network has. A timeout for silence alone lets a client that takes a byte now and then hold memory for hours.
 */
function cutSlowReaders(server: Server): void {
  const open = new Map<Socket, { taken: number; sinceMs: number }>();
  server.on('connection', (socket: Socket) => {
    open.set(socket, { taken: 0, sinceMs: performance.now() });
    socket.once('close', () => open.delete(socket));
  });
  const sweep = setInterval(() => {
    const nowMs = performance.now();
    for (const [socket, progress] of open) {
      const taken = socket.bytesWritten - socket.writableLength;
      if (socket.writableLength === 0 || taken >= progress.taken + httpLimits.readerBytesMin) {
        open.set(socket, { taken, sinceMs: nowMs });
      } else if (nowMs - progress.sinceMs > httpLimits.readerTimeoutMs) socket.destroy();
    }
  }, httpLimits.checkEveryMs);
  sweep.unref();
  server.once('close', () => {
    clearInterval(sweep);
  });
}

/** A client with more connections than this would take the places of others: further ones are closed at once. */
function limitConnections(server: Server, max: number): void {
  const open = new Map<string, number>();
  server.on('connection', (socket: Socket) => {
    const { key } = clientAddress(socket.remoteAddress);
    const count = (open.get(key) ?? 0) + 1;
    if (count > max) {
      socket.destroy();
      return;
    }
    open.set(key, count);
    socket.once('close', () => {
      const left = (open.get(key) ?? 1) - 1;
      if (left === 0) open.delete(key);
      else open.set(key, left);
    });
  });
}

const lingerMs = 1_000;
const lingerBytesMax = 1024 * 1024;

/**
 * Lets a client that is still sending a refused body read why. A connection that is closed while bytes arrive is reset,
 * and a reset takes away what the client has not read (RFC 9112 §9.6): so the way out is closed first, and for a moment
 * what comes in is thrown away, up to a megabyte. None of it is a request any more.
 */
export function lingerAtClose(socket: Socket): void {
  // What Node's HTTP server calls after the last answer of a connection.
  socket.destroySoon = () => {
    socket.end();
    let taken = 0;
    socket.removeAllListeners('data');
    socket.on('data', (bytes) => {
      taken += bytes.length;
      if (taken > lingerBytesMax) socket.pause();
    });
    socket.once('end', () => socket.destroy());
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    socket.once('close', () => clearTimeout(timer));
    socket.resume();
    // The parser read past the stream, which believes that a read is under way: this ends that one, and begins another.
    socket.push('');
    socket.read(0);
  };
}

const settleMs = 200;
const idleEveryMs = 50;
/** Longer than any call's deadline: what is still open then waits for its client, not for us. */
const finishMsMax = 6_000;

/**
 * Stops listening and resolves when every connection has ended. HTTP's own close would first cut connections that
 * look idle, among them those whose request has been sent and not yet been read: these get a moment to be read and
 * are answered. Clients that do not take their answer are cut off after 6 s.
 */
export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    TcpServer.prototype.close.call(server, () => {
      resolve();
    });
  });
  await wait(settleMs);
  // Again and again: an answer that ends now leaves a connection that is idle only from now on.
  const idle = setInterval(() => {
    server.closeIdleConnections();
  }, idleEveryMs);
  const cut = setTimeout(() => {
    server.closeAllConnections();
  }, finishMsMax);
  await closed;
  clearInterval(idle);
  clearTimeout(cut);
}

const jsonDetails: Readonly<Record<JsonProblem, string | undefined>> = {
  malformed: undefined,
  too_deep: `The body must not be nested deeper than ${httpLimits.jsonDepthMax} levels.`,
  duplicate_member: 'The body must not hold a field twice.',
  forbidden_member: 'The body must not hold the field __proto__.',
  bad_text: 'The body must hold well-formed text without NUL.',
};

function jsonError(problem: JsonProblem): AppError {
  const detail = jsonDetails[problem];
  return new AppError('malformed_json', detail === undefined ? {} : { details: { detail } });
}

/** Bytes that never became a request: answered once, as a problem, and the connection is closed. */
function answerClientError(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, code] = statusOf(error.code);
  const body = JSON.stringify({ ...problemOf(new AppError(code)), status });
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\ncontent-type: ${problemMediaType}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n` +
      `connection: close\r\n\r\n${body}`,
  );
}

function statusOf(code: string | undefined): readonly [number, ErrorCode] {
  if (code === 'HPE_HEADER_OVERFLOW') return [431, 'bad_request'];
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return [408, 'bad_request'];
  return [400, 'bad_request'];
}
