import type { CallContext } from '@prime-nest/contracts/context';
import { AppError, errorDefinition } from '@prime-nest/contracts/errors';
import type { ErrorCode } from '@prime-nest/contracts/errors';
import { CorrelationId } from '@prime-nest/contracts/ids';
import { formatTraceparent, parseTraceparent } from '@prime-nest/contracts/trace';
import type { Clock } from '@prime-nest/kit/clock';
import { newTrace, runInContext } from '@prime-nest/kit/context';
import { newId } from '@prime-nest/kit/ids';
import type { Logger } from '@prime-nest/kit/log';
import { attribute, httpSpanName } from '@prime-nest/kit/telemetry-names';
import { startSpan } from '@prime-nest/kit/telemetry';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { admit, checkOf } from './access/access.guard.js';
import type { Authentication, Authenticator } from './access/authenticator.js';
import type { Decided, DecideCommand } from './access/decide.command.js';
import { actorOf } from './access/principal.js';
import type { RouteSettings } from './access/route-access.decorator.js';
import { isUnknown, isUpstreamRoute, routeSettings, routeUrl } from './http/matched-route.js';
import { httpLimits } from './http-server.js';
import { clientAddress } from './http/client-address.js';
import type { ClientAddress } from './http/client-address.js';
import { InFlight } from './http/in-flight.js';
import { judgeOrigin, originHeaders, preflightHeaders } from './http/origins.js';
import { apiHeaders, documentationHeaders } from './http/security-headers.js';
import type { RateLimit } from './limits/rate-limit.guard.js';
import { rateHeaders, refusing } from './limits/verdict.js';
import type { RateVerdict } from './limits/verdict.js';
import { activeRequests, countRequest, describeRequest, mark, rateLimited, verifications } from './telemetry.js';

export interface RequestHooksOptions {
  readonly authenticator: Authenticator;
  readonly decide: DecideCommand;
  readonly limit: RateLimit;
  readonly allowedOrigins: readonly string[];
  /** Where the documentation is served; its assets declare no access, because they are files. */
  readonly documentationPath: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly isDraining: () => boolean;
  /** Answers a request whose handler has not. */
  readonly onOverdue: (error: AppError, request: FastifyRequest, reply: FastifyReply) => void;
}

const clientClosedStatus = 499;
const documentationFiles = new Set([
  '',
  'index.html',
  'swagger-ui.css',
  'swagger-ui-bundle.js',
  'swagger-ui-standalone-preset.js',
  'swagger-ui-init.js',
  'favicon-16x16.png',
  'favicon-32x32.png',
]);
const jsonBody = /^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i;

/**
 * Everything that happens to a request before its handler, in this order: ids and headers, origin, authentication,
 * rate limit, access, shape of the body's envelope. Each step refuses by throwing; nothing later runs then. Only the
 * question to rbac is sent while the rate limit is asked, and its answer is not looked at before.
 */
export class RequestHooks {
  readonly #options: RequestHooksOptions;
  readonly #origins: ReadonlySet<string>;
  readonly #apiHeaders = apiHeaders();
  readonly #documentationHeaders = documentationHeaders();
  readonly #addresses = new WeakMap<object, ClientAddress>();
  readonly #inFlight = new InFlight();

  constructor(options: RequestHooksOptions) {
    this.#options = options;
    this.#origins = new Set(options.allowedOrigins);
  }

  install(fastify: FastifyInstance): void {
    fastify.decorateRequest('state');
    fastify.addHook('onRequest', (request, reply, done) => {
      this.#begin(request, reply);
      const { context, span } = request.state;
      // Both: ours for logs and calls, OpenTelemetry's for the libraries it instruments.
      span.run(() => runInContext(context, done));
    });
    fastify.addHook('onRequest', (request, reply) => this.#screen(request, reply));
    fastify.addHook('preParsing', (request, _reply, _payload, done) => {
      try {
        checkEnvelope(request);
        done();
      } catch (error) {
        done(error as Error);
      }
    });
    fastify.addHook('onResponse', (request, reply, done) => {
      this.end(request, reply.statusCode);
      done();
    });
    fastify.addHook('onRequestAbort', (request, done) => {
      this.end(request, clientClosedStatus);
      done();
    });
    const sweep = setInterval(() => {
      this.#answerOverdue();
    }, httpLimits.checkEveryMs).unref();
    fastify.addHook('onClose', () => {
      clearInterval(sweep);
    });
  }

  /** Also for what fails before any hook runs: every answer carries ids and headers. */
  begin(request: FastifyRequest, reply: FastifyReply): void {
    if ((request.state as unknown) === undefined) this.#begin(request, reply);
  }

  #begin(request: FastifyRequest, reply: FastifyReply): void {
    const route = routeUrl(request);
    const { method, url } = request;
    // A stranger's traceparent is not our parent: it could join us to any trace and decide what gets sampled.
    const stranger = parseTraceparent(headerOf(request.headers.traceparent));
    const links = stranger === undefined ? [] : [stranger];
    // Probes ask every few seconds and tell nothing: their traces are not recorded.
    const parent = route?.startsWith('/health/') === true ? newTrace() : 'none';
    const span = startSpan(httpSpanName(method, route), { kind: 'server', parent, links });
    if (span.trace.isSampled) describeRequest(span, { method, url, route });
    activeRequests.inc();
    const userAgent = request.headers['user-agent']?.slice(0, 512);
    const { ip } = this.#address(request);
    const correlationId = correlationIdOf(request.headers['x-correlation-id']);
    request.state = {
      context: {
        correlationId,
        trace: span.trace,
        actor: { type: 'anonymous' },
        ...(ip === undefined ? {} : { ip }),
        ...(userAgent === undefined ? {} : { userAgent }),
      },
      span,
      startedAtMs: performance.now(),
      place: this.#inFlight.add(request, reply),
    };
    reply.headers(this.#isDocumentation(request) ? this.#documentationHeaders : this.#apiHeaders);
    reply.header('x-correlation-id', correlationId);
    reply.header('x-trace-id', span.trace.traceId);
    reply.header('traceparent', formatTraceparent(span.trace));
    if (this.#options.isDraining()) reply.header('connection', 'close');
  }

  async #screen(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    const settings = routeSettings(request);
    if (this.#checkOrigin(request, reply, settings)) return reply;
    if (this.#isDocumentation(request) && !request.is404) {
      obey(await this.#count(request, { settings, authentication: undefined }), reply);
      if (!this.#isPublished(request.url)) throw new AppError('route_not_found');
      return undefined;
    }
    const isPublic = settings.access?.kind === 'public';
    const authentication = isPublic ? undefined : await this.#authenticate(request);
    const { state } = request;
    const counted = settings.isLimited === false ? undefined : this.#count(request, { settings, authentication });
    const ask = () => this.#ask(settings, authentication, state.context);
    // Redis and rbac are asked at the same time. A client that is known to be over its limit costs neither a question,
    // and without Redis, where only the count in this process tells who that is, rbac is asked after it.
    const early = counted instanceof Promise && !this.#options.limit.isDegraded ? ask() : undefined;
    if (counted !== undefined) obey(await counted, reply);
    if (isUnknown(request)) return undefined;
    const principal = await admit({ access: settings.access, authentication, decided: early ?? ask() });
    if (principal !== undefined) state.principal = principal;
    if (settings.access !== undefined) state.admittedFor = settings.access;
    return undefined;
  }

  #authenticate(request: FastifyRequest): Authentication | Promise<Authentication> {
    const found = this.#options.authenticator.authenticate(request.raw.rawHeaders, this.#options.clock());
    const note = (authentication: Authentication) => this.#note(request, authentication);
    return found instanceof Promise ? found.then(note) : note(found);
  }

  #note(request: FastifyRequest, authentication: Authentication): Authentication {
    const { principal, failure, source } = authentication;
    verifications.inc({ result: failure?.code ?? (source === 'memory' ? 'known' : 'verified') });
    if (source !== undefined) request.state.span.setAttribute(mark.tokenSource, source);
    if (principal !== undefined && failure === undefined) {
      request.state.context = { ...request.state.context, actor: actorOf(principal) };
    }
    return authentication;
  }

  #count(
    request: FastifyRequest,
    { settings, authentication }: { settings: RouteSettings; authentication: Authentication | undefined },
  ): RateVerdict | Promise<RateVerdict> {
    const { limit } = this.#options;
    const principal = authentication?.principal;
    // A stranger at a route that needs a token is refused there anyway, and must not use up what it allows.
    const isMeant = principal !== undefined || settings.access?.kind === 'public';
    const route = isMeant ? settings.limit : undefined;
    return principal === undefined
      ? limit.consume('address', this.#address(request).key, route)
      : limit.consume('principal', principal.id, route);
  }

  #ask(
    { access }: RouteSettings,
    authentication: Authentication | undefined,
    context: CallContext,
  ): Promise<Decided> | undefined {
    const check = checkOf(access, authentication);
    if (check === undefined) return undefined;
    const decided = this.#options.decide.run(check, context);
    // The rate limit may refuse first, and then nobody waits for this answer.
    decided.catch(() => undefined);
    return decided;
  }

  /** Answers true when the request was a preflight and has been answered. */
  #checkOrigin(request: FastifyRequest, reply: FastifyReply, { isLimited }: RouteSettings): boolean {
    const verdict = judgeOrigin(request.headers.origin, request.headers.host, this.#origins);
    reply.header('vary', 'Origin');
    if (verdict.kind === 'none' || verdict.kind === 'same') return false;
    if (verdict.kind === 'foreign') {
      // Health and keys are for everybody; without our headers no page can read them.
      if (isLimited === false) return false;
      throw new AppError('origin_forbidden');
    }
    reply.headers(originHeaders(verdict.origin));
    if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined) return false;
    reply.headers(preflightHeaders).code(204).send();
    return true;
  }

  #isDocumentation(request: FastifyRequest): boolean {
    const url = request.routeOptions?.url ?? '';
    const { documentationPath } = this.#options;
    return url === documentationPath || url.startsWith(`${documentationPath}/`) || url === `${documentationPath}-json`;
  }

  /** The folder of the documentation's assets holds more than the page needs, its version among it. */
  #isPublished(url: string): boolean {
    const { documentationPath } = this.#options;
    const path = url.split('?', 1)[0] ?? '';
    if (path === documentationPath || path === `${documentationPath}-json`) return true;
    return documentationFiles.has(path.slice(path.lastIndexOf('/') + 1));
  }

  #address(request: FastifyRequest): ClientAddress {
    const raw = request.ip;
    const socket = request.raw.socket;
    // One connection, one peer: only a proxy's connection carries several.
    const known = this.#addresses.get(socket);
    if (known !== undefined && raw === socket.remoteAddress) return known;
    const address = clientAddress(raw);
    if (raw === socket.remoteAddress) this.#addresses.set(socket, address);
    return address;
  }

  /** The deadlines of all calls are shorter, so this is for what was overlooked: nobody waits for ever. */
  #answerOverdue(): void {
    for (const { request, reply } of this.#inFlight.takeOlderThan(performance.now() - httpLimits.handlerTimeoutMs)) {
      // An answer that has begun goes on: an export takes as long as its reader keeps up with it.
      if (reply.sent || reply.raw.headersSent) continue;
      const error = new AppError('unavailable', { internal: { reason: 'the handler has not answered' } });
      this.#options.onOverdue(error, request, reply);
    }
  }

  end(request: FastifyRequest, status: number): void {
    const { state, method } = request;
    if ((state as unknown) === undefined || state.isEnded === true) return;
    state.isEnded = true;
    this.#inFlight.remove(state.place, request);
    const { context, span, principal, code, startedAtMs } = state;
    const ms = performance.now() - startedAtMs;
    const route = routeUrl(request);
    span.setAttribute(attribute.httpResponseStatusCode, status);
    span.end();
    activeRequests.dec();
    countRequest(method, route, { status, ms });
    this.#options.log[levelOf(code)](
      {
        method,
        route: route ?? 'unmatched',
        status,
        code,
        durationMs: Math.round(ms * 10) / 10,
        principalId: principal?.id,
        ip: context.ip,
        // Named here and not left to the current context: there is none where an answer ends.
        correlationId: context.correlationId,
        traceId: context.trace.traceId,
        spanId: context.trace.spanId,
      },
      'http.served',
    );
  }
}

function obey(verdict: RateVerdict, reply: FastifyReply): void {
  reply.headers(rateHeaders(verdict));
  if (verdict.isAllowed) return;
  const refused = refusing(verdict);
  rateLimited.inc({ lane: refused?.quota.name ?? 'address' });
  throw new AppError('rate_limited', { details: { retryAfterSeconds: refused?.resetSeconds ?? 1 } });
}

/** A caller's mistake is information, a dependency that is away a warning, a mistake of ours an error. */
function levelOf(code: ErrorCode | undefined): 'info' | 'warn' | 'error' {
  if (code === undefined) return 'info';
  const { fault } = errorDefinition(code);
  return fault === 'bug' ? 'error' : fault === 'transient' ? 'warn' : 'info';
}

function headerOf(given: string | string[] | undefined): string | undefined {
  return typeof given === 'string' ? given : undefined;
}

function correlationIdOf(given: string | string[] | undefined): string {
  return typeof given === 'string' && CorrelationId.safeParse(given).success ? given : newId();
}

/** A body is UTF-8 JSON, not compressed. Whatever else it claims to be is refused before it is read. */
function checkEnvelope(request: FastifyRequest): void {
  const { headers } = request;
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
  // A route of the route file declares what it takes, and is checked against that.
  if (!hasBody || request.is404 || isUpstreamRoute(request)) return;
  const type = headers['content-type'];
  if (type === undefined || !jsonBody.test(type) || headers['content-encoding'] !== undefined) {
    throw new AppError('unsupported_media_type');
  }
}
