import type { Span } from '@prime-nest/kit/telemetry';
import { attribute, httpMethodName, safePath } from '@prime-nest/kit/telemetry-names';
import { counter, gauge, histogram, observed } from '@prime-nest/kit/telemetry-metrics';

/** Names of our own in the gateway's spans. Ids of people and what they typed are not among them. */
export const mark = {
  tokenSource: 'token.source',
  effect: 'decision.effect',
  reason: 'decision.reason',
  permission: 'decision.permission',
  revision: 'decision.revision',
  batchSize: 'decision.batch_size',
} as const;

export const requests = histogram({
  name: 'http_server_request_duration_seconds',
  help: 'Time from the arrival of a request to the end of its answer',
  labels: ['http_request_method', 'http_route', 'http_response_status_code'],
});

export const activeRequests = gauge({ name: 'http_server_active_requests', help: 'Requests being served' });

export const verifications = counter({
  name: 'prime_nest_token_verifications_total',
  help: 'Access tokens presented, by result: known (verified before), verified, or the error code',
  labels: ['result'],
});

export const decisions = histogram({
  name: 'prime_nest_decision_duration_seconds',
  help: 'Time until a check was decided, by effect: allow, deny, or error when it was not decided',
  labels: ['effect'],
});

export const rateLimited = counter({
  name: 'prime_nest_rate_limited_total',
  help: 'Requests refused by a rate limit: that of addresses, of principals, or of a route',
  labels: ['lane'],
  known: [{ lane: 'address' }, { lane: 'principal' }],
});

export const upstreamCalls = histogram({
  name: 'prime_nest_upstream_call_duration_seconds',
  help: 'Time until a service of the route file has answered, by outcome: ok, or the error code',
  labels: ['upstream', 'outcome'],
});

export const upstreamRoutes = gauge({
  name: 'prime_nest_upstream_routes_total',
  help: "Routes of the route file that is in use; the label is the beginning of the file's SHA-256",
  labels: ['digest'],
});

export const routeReloads = counter({
  name: 'prime_nest_route_reloads_total',
  help: 'Reloads of the route file, by result; a refused one leaves the routes as they were',
  labels: ['result'],
  known: [{ result: 'loaded' }, { result: 'refused' }],
});

export const revocationsAge = observed({
  name: 'prime_nest_revocations_age_seconds',
  help: 'Time since everything that was revoked was known here; past the bound guarded routes answer 503',
});

export interface Incoming {
  readonly method: string;
  readonly url: string;
  readonly route: string | undefined;
}

/** The attributes of the server span of a request (OpenTelemetry HTTP conventions). */
export function describeRequest(span: Span, { method, url, route }: Incoming): void {
  span.setAttribute(attribute.httpRequestMethod, httpMethodName(method));
  span.setAttribute(attribute.urlPath, safePath(url, route));
  span.setAttribute(attribute.urlScheme, 'http');
  if (route !== undefined) span.setAttribute(attribute.httpRoute, route);
}

/** Counts a finished request. Addresses that no route knows share one label. */
export function countRequest(method: string, route: string | undefined, answer: { status: number; ms: number }): void {
  const labels = {
    http_request_method: httpMethodName(method),
    http_route: route ?? 'unmatched',
    http_response_status_code: answer.status,
  };
  requests.observe(labels, answer.ms / 1000);
}
