import helmet from 'helmet';

export type Headers = Readonly<Record<string, string>>;

/** The documentation page brings its own script and inline styles; nothing else of this host is ever rendered. */
const documentationPolicy = {
  defaultSrc: ["'none'"],
  scriptSrc: ["'self'"],
  styleSrc: ["'self'", "'unsafe-inline'"],
  imgSrc: ["'self'", 'data:'],
  connectSrc: ["'self'"],
  baseUri: ["'none'"],
  formAction: ["'none'"],
  frameAncestors: ["'none'"],
};

const apiPolicy = { defaultSrc: ["'none'"], baseUri: ["'none'"], formAction: ["'none'"], frameAncestors: ["'none'"] };

/** Helmet's headers for API answers, worked out once: running the middleware per request costs more than the rest. */
export function apiHeaders(): Headers {
  // What is answered here is for the one who asked, unless a route says otherwise.
  return { ...helmetHeaders(apiPolicy), 'cache-control': 'no-store' };
}

export function documentationHeaders(): Headers {
  return helmetHeaders(documentationPolicy);
}

function helmetHeaders(directives: Record<string, string[]>): Headers {
  const headers: Record<string, string> = {};
  const middleware = helmet({
    contentSecurityPolicy: { useDefaults: false, directives },
    crossOriginEmbedderPolicy: false,
    strictTransportSecurity: { maxAge: 31_536_000, includeSubDomains: true },
    frameguard: { action: 'deny' },
    referrerPolicy: { policy: 'no-referrer' },
  });
  const response = {
    setHeader: (name: string, value: string) => {
      headers[name.toLowerCase()] = value;
    },
    removeHeader: () => undefined,
  };
  let failure: unknown;
  type Arguments = Parameters<typeof middleware>;
  middleware({} as Arguments[0], response as unknown as Arguments[1], (error?: unknown) => {
    failure = error;
  });
  if (failure !== undefined) throw new TypeError('helmet refused its own options', { cause: failure });
  return headers;
}
