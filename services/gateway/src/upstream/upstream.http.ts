import { AppError } from '@prime-nest/contracts/errors';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { httpLimits } from '../http-server.js';
import { isSameAccess } from '../access/principal.js';
import { isUpstreamRoute } from '../http/matched-route.js';
import { parseStrictJson } from '../http/strict-json.js';
import type { ForwardCommand } from './forward.command.js';
import { essenceOf, isJson } from './media-type.js';
import { isPlainValue, passedRequestHeaders } from './passed-headers.js';
import { readQuery } from './query.js';
import { readBody } from './read-body.js';
import type { TableRoute, UpstreamTable } from './upstream-table.js';

export interface UpstreamHttpOptions {
  /** The prefix of the API without slashes at its ends. */
  readonly prefix: string;
  readonly table: () => UpstreamTable | undefined;
  readonly forward: ForwardCommand;
  /** Answers an error as every other is answered. */
  readonly onError: (error: unknown, request: FastifyRequest, reply: FastifyReply) => void;
}

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
const bodyMethods = new Set(['POST', 'PUT', 'PATCH']);

/**
 * Registers one route for everything below the prefix that no route of our own takes, and matches it with the table
 * of the moment: the framework's routes cannot change while it listens. Must be called before the request hooks are
 * installed, which then see the matched route as they see any other.
 */
export function installUpstreams(
  fastify: FastifyInstance,
  { prefix, table, forward, onError }: UpstreamHttpOptions,
): void {
  fastify.decorateRequest('upstream', undefined);
  fastify.addHook('onRequest', (request, _reply, done) => {
    if (isUpstreamRoute(request)) request.upstream = table()?.find(request.method, request.url);
    done();
  });
  void fastify.register((own, _options, done) => {
    own.setErrorHandler((error, request, reply) => {
      onError(error, request, reply);
    });
    // Bytes as they came: what is bound into the assertion is what is sent.
    own.removeAllContentTypeParsers();
    own.addContentTypeParser('*', (request, payload, parsed) => {
      const { bodyBytesMax = 0 } = request.upstream?.found.route.request ?? {};
      readBody(payload, bodyBytesMax).then((body) => parsed(null, body), parsed);
    });
    own.addHook('preParsing', (request, _reply, _payload, next) => {
      try {
        if (request.upstream !== undefined) checkEnvelope(request, request.upstream.found);
        next();
      } catch (error) {
        next(error as Error);
      }
    });
    own.route({
      url: `/${prefix}/*`,
      method: methods,
      config: { isUpstream: true },
      handler: (request, reply) => handle(request, reply, forward),
    });
    done();
  });
}

async function handle(request: FastifyRequest, reply: FastifyReply, forward: ForwardCommand): Promise<FastifyReply> {
  const { upstream: match, state } = request;
  if (match === undefined) throw new AppError('route_not_found');
  const { found } = match;
  // The second lock on the same door, as for the routes of our own.
  const { access } = found.settings;
  if (access === undefined || state.admittedFor === undefined || !isSameAccess(access, state.admittedFor)) {
    throw new AppError('internal', { internal: { reason: 'the request was not admitted for this route' } });
  }
  const query = readQuery(match.query, found.route.request.query);
  if ('violations' in query) throw new AppError('validation_failed', { details: { violations: query.violations } });
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  const type = body.length === 0 ? undefined : request.headers['content-type'];
  const answer = await forward.run(
    {
      match,
      query,
      body,
      method: request.method,
      headers: { ...passedOn(request, found), ...(type === undefined ? {} : { 'content-type': type }) },
      ...jsonOf(type, body),
      principal: state.principal,
    },
    state.context,
  );
  return reply
    .code(answer.status)
    .headers(answer.headers as Record<string, string>)
    .send(answer.body.length === 0 ? undefined : answer.body);
}

/** What can be refused before a byte of the body is read. */
function checkEnvelope({ headers, method }: FastifyRequest, { route }: TableRoute): void {
  // Node has not switched protocols, but whoever asks for it expects to be past this door afterwards.
  if (headers.upgrade !== undefined) throw new AppError('bad_request');
  const length = Number(headers['content-length'] ?? 0);
  if (headers['transfer-encoding'] === undefined && length === 0) return;
  if (!bodyMethods.has(method)) throw new AppError('bad_request', { details: { detail: 'This method has no body.' } });
  const essence = essenceOf(headers['content-type'] ?? '');
  const isDeclared = essence !== undefined && route.request.contentTypes.includes(essence);
  if (!isDeclared || headers['content-encoding'] !== undefined) throw new AppError('unsupported_media_type');
  if (length > route.request.bodyBytesMax) throw new AppError('body_too_large');
}

function passedOn({ headers }: FastifyRequest, { route }: TableRoute): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const name of passedRequestHeaders(route.request.headers)) {
    const value = headers[name];
    if (value === undefined) continue;
    if (typeof value !== 'string' || !isPlainValue(value)) throw new AppError('bad_request');
    passed[name] = value;
  }
  return passed;
}

/** A JSON body has one meaning here and in the service, as for the routes of our own. */
function jsonOf(type: string | undefined, body: Buffer): { json?: unknown } {
  if (type === undefined || !isJson(essenceOf(type) ?? '')) return {};
  const parsed = parseStrictJson(body, httpLimits.jsonDepthMax);
  if ('problem' in parsed) throw new AppError('malformed_json');
  return { json: parsed.value };
}
