/** What a REST answer carries, for the suites that speak to the running system as any client does. */
export interface Answer {
  readonly status: number;
  /** The JSON object of the answer; empty for an answer without one. */
  readonly body: JsonObject;
  readonly headers: Headers;
  readonly traceId: string;
  readonly correlationId: string;
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** The items of a list answer. */
export function items(answer: Answer): readonly JsonObject[] {
  return answer.body['data'] as JsonObject[];
}

export interface CallOptions {
  readonly token?: string;
  readonly body?: unknown;
  readonly rawBody?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

export type Call = (method: string, path: string, options?: CallOptions) => Promise<Answer>;

/** Calls `baseUrl`; resolves for every status and rejects only when there is no answer in time. */
export function restClient(baseUrl: string): Call {
  return async (method, path, { token, body, rawBody, headers = {}, timeoutMs = 10_000 } = {}) => {
    const payload = rawBody ?? (body === undefined ? undefined : JSON.stringify(body));
    const response = await fetch(`${baseUrl}${path}`, {
      method,
      headers: {
        ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      },
      ...(payload === undefined ? {} : { body: payload }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await response.text();
    const isJson = (response.headers.get('content-type') ?? '').includes('json');
    return {
      status: response.status,
      body: (text !== '' && isJson ? JSON.parse(text) : {}) as JsonObject,
      headers: response.headers,
      traceId: response.headers.get('x-trace-id') ?? '',
      correlationId: response.headers.get('x-correlation-id') ?? '',
    };
  };
}

/** Logs in and answers the access token. */
export async function logIn(call: Call, email: string, password: string): Promise<string> {
  const answer = await call('POST', '/api/auth/login', { body: { email, password } });
  if (answer.status !== 200) throw new Error(`login answered ${answer.status}: ${JSON.stringify(answer.body)}`);
  return answer.body['access_token'] as string;
}
