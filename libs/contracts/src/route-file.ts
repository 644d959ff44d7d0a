import { z } from 'zod';
import { PermissionName } from './rbac.js';

/**
 * The route file: which requests the gateway passes on to services that it does not know, and what it demands before.
 * JSON, so that there is one way to read it. Nothing is open by default: a route without `access`, a query parameter,
 * a header or a media type that is not named does not pass.
 */
export const routeLimits = {
  fileBytesMax: 1024 * 1024,
  upstreamsMax: 100,
  routesMax: 1_000,
  requestBytesMax: 1024 * 1024,
  responseBytesMax: 8 * 1024 * 1024,
} as const;

/** Name of an upstream: the audience of its assertions, its bus user and the second word of its subjects. */
export const UpstreamName = z.string().regex(/^[a-z][a-z0-9-]{1,31}$/, 'must be 2 to 32 of a-z, 0-9 and -');

const baseUrlRule = 'must be http(s)://host[:port][/path] without user, query, fragment, dots or a slash at the end';
/** A fixed base: a request adds to its path and can change nothing before that. */
const BaseUrl = z.string().max(512).refine(isBaseUrl, baseUrlRule);

/** `ext.<upstream>.…`: words of a-z, 0-9, `_` and `-`, no wildcards. */
const Subject = z
  .string()
  .max(128)
  .regex(/^ext(\.[a-z0-9][a-z0-9_-]*){2,8}$/, 'must be ext.<upstream>.<words>, without wildcards');

const pathRule = 'must be /words and /:parameters, such as /invoices/:id';
/** Below the prefix of the API. A parameter stands for one whole segment. */
const RoutePath = z
  .string()
  .max(256)
  .regex(/^(?:\/(?:[A-Za-z0-9_~-][A-Za-z0-9_~.-]*|:[a-z][A-Za-z0-9_]{0,31})){1,16}$/, pathRule);

const MediaType = z
  .string()
  .max(128)
  .regex(/^[a-z0-9][a-z0-9!#$&^_.+-]*\/[a-z0-9][a-z0-9!#$&^_.+-]*$/, 'must be type/subtype in small letters');
const MediaTypes = z.array(MediaType).min(1).max(16).default(['application/json']);
const HeaderName = z
  .string()
  .max(64)
  .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'must be a header name in small letters');
const QueryName = z
  .string()
  .max(64)
  .regex(/^[A-Za-z][A-Za-z0-9_.-]*$/, 'must be a plain name');

export const Upstream = z.strictObject({
  description: z.string().max(500).optional(),
  /** Needed by routes that go over HTTP. Its path is put before the path of the route. */
  url: BaseUrl.optional(),
  /** Requests that may be under way to it from one gateway; further ones are `overloaded`. */
  concurrencyMax: z.int().min(1).max(1_000).default(64),
});
export type Upstream = z.infer<typeof Upstream>;

export const routeMethods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

export const Route = z.strictObject({
  summary: z.string().min(1).max(200).optional(),
  /** GET brings HEAD along. */
  methods: z.array(z.enum(routeMethods)).min(1),
  path: RoutePath,
  /** What the caller needs. There is no default. */
  access: z.union([z.enum(['public', 'authenticated']), z.strictObject({ permission: PermissionName })]),
  target: z.strictObject({
    upstream: UpstreamName,
    /** Over NATS to this subject; without it over HTTP to the upstream's `url` followed by the path. */
    subject: Subject.optional(),
  }),
  /** For the whole call, from its first byte to the last of its answer. */
  timeoutMs: z.int().min(50).max(10_000).default(2_000),
  request: z
    .strictObject({
      bodyBytesMax: z
        .int()
        .min(0)
        .max(routeLimits.requestBytesMax)
        .default(64 * 1024),
      contentTypes: MediaTypes,
      /** Query parameters that pass, each at most once; any other is refused. */
      query: z.array(QueryName).max(64).default([]),
      /** Request headers that pass beside the usual ones of content negotiation and conditions. */
      headers: z.array(HeaderName).max(32).default([]),
    })
    .prefault({}),
  response: z
    .strictObject({
      bytesMax: z
        .int()
        .min(0)
        .max(routeLimits.responseBytesMax)
        .default(1024 * 1024),
      contentTypes: MediaTypes,
      /** Response headers that pass beside the usual ones. */
      headers: z.array(HeaderName).max(32).default([]),
      /** Whether the service may set cookies. */
      cookies: z.boolean().default(false),
    })
    .prefault({}),
  /** For each caller of this route, beside the general limit: a request has to fit both. */
  rateLimit: z
    .strictObject({ max: z.int().min(1).max(1_000_000), windowSeconds: z.int().min(1).max(86_400) })
    .optional(),
  /** Whether each call leaves an audit event; for routes that change something. */
  audit: z.boolean().default(false),
});
export type Route = z.infer<typeof Route>;

export const RouteFile = z.strictObject({
  $schema: z.string().max(512).optional(),
  upstreams: z
    .record(UpstreamName, Upstream)
    .refine((all) => Object.keys(all).length <= routeLimits.upstreamsMax, 'holds too many upstreams'),
  routes: z.array(Route).max(routeLimits.routesMax),
});
export type RouteFile = z.infer<typeof RouteFile>;

function isBaseUrl(text: string): boolean {
  if (!/^https?:\/\/[A-Za-z0-9.[\]:-]+(?:\/[A-Za-z0-9_~-][A-Za-z0-9_~.-]*)*$/.test(text)) return false;
  if (!URL.canParse(text)) return false;
  const { origin, pathname } = new URL(text);
  return text === (pathname === '/' ? origin : `${origin}${pathname}`);
}
