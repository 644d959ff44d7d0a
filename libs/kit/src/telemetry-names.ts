/**
 * The attribute names of the OpenTelemetry semantic conventions (1.45) that our spans use, in one place. The
 * conventions' own package is not loaded for them: it is large, and tracing that is off must cost nothing.
 */
export const attribute = {
  errorType: 'error.type',

  httpRequestMethod: 'http.request.method',
  httpRoute: 'http.route',
  httpResponseStatusCode: 'http.response.status_code',
  urlPath: 'url.path',
  urlScheme: 'url.scheme',

  rpcSystem: 'rpc.system.name',
  rpcMethod: 'rpc.method',
  rpcStatusCode: 'rpc.status_code',

  dbQueryText: 'db.query.text',
  dbQuerySummary: 'db.query.summary',

  messagingSystem: 'messaging.system',
  messagingOperationName: 'messaging.operation.name',
  messagingOperationType: 'messaging.operation.type',
  messagingDestinationName: 'messaging.destination.name',
  messagingMessageId: 'messaging.message.id',
  messagingMessageBodySize: 'messaging.message.body.size',
  messagingConversationId: 'messaging.message.conversation_id',
  messagingBatchMessageCount: 'messaging.batch.message_count',
  messagingConsumerGroupName: 'messaging.consumer.group.name',
} as const;

/** Both conventions leave the value for NATS to us. */
export const natsSystem = 'nats';

/** What a client or server span of a call over NATS says. The subject is the method: it names service, noun and verb. */
export function rpcAttributes(subject: string): Record<string, string> {
  return { [attribute.rpcSystem]: natsSystem, [attribute.rpcMethod]: subject };
}

export interface MessageDescription {
  readonly operation: 'publish' | 'process';
  readonly subject: string;
  readonly messageId?: string | undefined;
  readonly conversationId?: string | undefined;
  readonly bodyBytes?: number | undefined;
  /** The durable consumer, on its side. */
  readonly consumer?: string | undefined;
}

/** What a producer or consumer span of one message says; its name is {@link messageSpanName}. */
export function messageAttributes(message: MessageDescription): Record<string, string | number> {
  const { operation, subject, messageId, conversationId, bodyBytes, consumer } = message;
  return {
    [attribute.messagingSystem]: natsSystem,
    [attribute.messagingOperationName]: operation,
    [attribute.messagingOperationType]: operation === 'publish' ? 'send' : 'process',
    [attribute.messagingDestinationName]: subject,
    ...(messageId === undefined ? {} : { [attribute.messagingMessageId]: messageId }),
    ...(conversationId === undefined ? {} : { [attribute.messagingConversationId]: conversationId }),
    ...(bodyBytes === undefined ? {} : { [attribute.messagingMessageBodySize]: bodyBytes }),
    ...(consumer === undefined ? {} : { [attribute.messagingConsumerGroupName]: consumer }),
  };
}

/** `publish evt.billing.invoice.paid.v1`: operation and destination, as the messaging conventions name spans. */
export function messageSpanName({ operation, subject }: Pick<MessageDescription, 'operation' | 'subject'>): string {
  return `${operation} ${subject}`;
}

/** Methods that are named in spans and metrics; anything else could be a stranger's choice of a million names. */
const httpMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT', 'QUERY']);

export function httpMethodName(method: string): string {
  return httpMethods.has(method) ? method : '_OTHER';
}

/** `GET /api/things/:id`, or the method alone where no route matched, as the HTTP conventions name server spans. */
export function httpSpanName(method: string, route: string | undefined): string {
  const known = httpMethodName(method);
  const name = known === '_OTHER' ? 'HTTP' : known;
  return route === undefined ? name : `${name} ${route}`;
}

const plainSegment = /^(?:\d{1,15}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/i;
const hidden = 'REDACTED';

/**
 * The path as a span may show it: the route's own words, and of the rest only numbers and UUIDs. Whatever else
 * somebody wrote into an address (a name, a credential in the wrong place) stays out; so does the query.
 */
export function safePath(url: string, route: string | undefined): string {
  const words = route?.split('/') ?? [];
  const path = url.split(/[?#]/, 1)[0] ?? '';
  return path
    .split('/')
    .slice(0, 32)
    .map((segment, index) =>
      segment === '' || segment === words[index] || plainSegment.test(segment) ? segment : hidden,
    )
    .join('/');
}
