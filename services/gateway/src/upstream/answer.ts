import type { Route } from '@prime-nest/contracts/route-file';
import { essenceOf } from './media-type.js';
import { isPlainValue, passedResponseHeaders } from './passed-headers.js';

/** What a service has answered, as it came. */
export interface UpstreamAnswer {
  readonly status: number;
  /** By name in small letters; an array when the header came several times. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

/** What of it is passed back, or why nothing is. */
export type PassedAnswer =
  | {
      readonly status: number;
      readonly headers: Readonly<Record<string, string | readonly string[]>>;
      readonly body: Buffer;
    }
  | { readonly fault: string }
  | { readonly isUnavailable: true };

/** Answers about the connection or the credentials between us and the service: nothing that its caller could act on. */
const betweenUs = new Set([401, 407, 408, 421, 426, 431]);
const problemType = 'application/problem+json';

/**
 * Decides what of an answer reaches the caller. Passed: 2xx, 304 and the 4xx that are the application's own, with the
 * declared media types and headers. Not passed: 5xx (its text may tell about the inside), redirects, and whatever
 * breaks what the route declares; 503 says that the service is not available.
 */
export function passAnswer(answer: UpstreamAnswer, { response }: Pick<Route, 'response'>): PassedAnswer {
  const { status, headers, body } = answer;
  if (status === 503) return { isUnavailable: true };
  const isOwn = (status >= 200 && status < 300) || status === 304 || (status >= 400 && status < 500);
  if (!isOwn || betweenUs.has(status)) return { fault: `status ${status}` };
  if (headers['content-encoding'] !== undefined) return { fault: 'content-encoding' };
  const passed: Record<string, string | readonly string[]> = {};
  const type = headers['content-type'];
  if (body.length > 0) {
    const essence = typeof type === 'string' ? essenceOf(type) : undefined;
    const isDeclared = essence !== undefined && response.contentTypes.includes(essence);
    const isProblem = status >= 400 && essence === problemType;
    if (typeof type !== 'string' || !(isDeclared || isProblem)) return { fault: 'content-type' };
    passed['content-type'] = type;
  }
  for (const name of passedResponseHeaders(response.headers)) {
    const value = headers[name];
    if (typeof value !== 'string' || !isPlainValue(value)) continue;
    // An address of the service's own world, or of somebody else's, would lead the caller away.
    if (name === 'location' && !/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(value)) continue;
    passed[name] = value;
  }
  const cookies = [headers['set-cookie'] ?? []].flat().filter(isPlainValue);
  if (response.cookies && cookies.length > 0) passed['set-cookie'] = cookies;
  return { status, headers: passed, body };
}
