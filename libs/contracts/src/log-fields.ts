/**
 * Every field a log line may have, in one list to be reviewed: what is not here does not reach a line, and does not
 * compile. A field holds an id of ours, a count, a duration, a constant, or an address of a server; never a name, an
 * e-mail address, a credential or text that a caller chose. The client's address (`ip`) is the one exception: whoever
 * answers an incident needs it.
 */
export const logFields = [
  // The request
  'correlationId',
  'traceId',
  'spanId',
  'method',
  'route',
  'status',
  'code',
  'outcome',
  'subject',
  'durationMs',
  'ip',
  'principalId',
  // What failed, and what the code says about it
  'err',
  'reason',
  'kind',
  'detail',
  'dependency',
  'part',
  'check',
  'pool',
  'paths',
  'attempt',
  'attempts',
  'failures',
  'waitedMs',
  'waitingFor',
  'timeoutMs',
  'lateMs',
  'bytes',
  'messages',
  // Servers and connections
  'service',
  'server',
  'host',
  'port',
  'url',
  'prefix',
  'operation',
  'subjects',
  'deaf',
  'schema',
  'applied',
  'replicas',
  // Routes of the route file
  'upstream',
  'upstreams',
  'routes',
  'digest',
  'problems',
  // Outbox, relay, audit log
  'source',
  'epoch',
  'origin',
  'isForeign',
  'seq',
  'sequence',
  'receipt',
  'from',
  'to',
  'of',
  'stored',
  'pruned',
  'eventId',
  'type',
  'index',
  'parked',
  'recorded',
  'duplicates',
  'entries',
  'faults',
  'treeSize',
  'signedSize',
  'root',
  'height',
  'verifierKey',
  // Policy and revocations
  'revision',
  'held',
  'head',
  'roles',
  'principals',
  'members',
  'acked',
  'fenced',
  'barrierMs',
  'minRevision',
  'reached',
  'after',
  'expected',
  'found',
  'needs',
  'actor',
  'featureId',
  // Accounts, sessions, keys
  'accountId',
  'sessionId',
  'sessions',
  'age',
  'presented',
  'current',
  'kids',
  'keys',
  'refused',
  'signingKeys',
  'unreadable',
  'isNew',
  'removed',
] as const;

export type LogField = (typeof logFields)[number];

/** Counts by a constant name are the deepest a line goes. */
export type LogValue =
  string | number | boolean | null | undefined | readonly (string | number)[] | Readonly<Record<string, number>>;

export type LogFields = { readonly [F in Exclude<LogField, 'err'>]?: LogValue } & { readonly err?: unknown };

/** `T` if it has no field outside of {@link logFields}; an argument of another type does not compile. */
export type OnlyLogFields<T> = T & Readonly<Record<Exclude<keyof T, LogField>, never>>;
