import { AppError, errorDefinition } from '@prime-nest/contracts/errors';
import { logFields } from '@prime-nest/contracts/log-fields';
import type { LogFields, OnlyLogFields } from '@prime-nest/contracts/log-fields';
import { pino } from 'pino';
import type { DestinationStream } from 'pino';
import { currentContext } from './context.js';
import { toStandardOutput } from './log-destination.js';
import { prettyStream } from './log-pretty.js';
import { isError, maskText, redactField } from './redact.js';

interface Write {
  (event: string): void;
  <T extends LogFields>(fields: OnlyLogFields<T>, event: string): void;
}

/** What the system's code may do with a log: a constant event name, and fields of the list in the contracts. */
export interface Logger {
  readonly trace: Write;
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
  readonly fatal: Write;
  child<T extends LogFields>(fields: OnlyLogFields<T>): Logger;
}

export interface LoggerOptions {
  readonly service: string;
  readonly level: pino.LevelWithSilent;
  /** One readable line per entry for a terminal instead of JSON. */
  readonly pretty?: boolean;
  /** Where lines go; standard output by default. */
  readonly destination?: DestinationStream;
}

const allowed: ReadonlySet<string> = new Set(logFields);

/**
 * A logger whose lines are always one JSON object each and never hold a credential: only fields of the list in the
 * contracts are written (a line says in `droppedFields` how many were not), they are copied through {@link redact}, and
 * the finished line is masked once more. Call it with fields first and a constant event name second:
 * `log.info({ subject }, 'rpc.served')`. Ids of the current context are added to every line.
 */
export function createLogger({ service, level, pretty = false, destination }: LoggerOptions): Logger {
  const stream = pretty ? prettyStream(destination ?? process.stdout) : (destination ?? toStandardOutput());
  const log = pino(
    {
      level,
      base: { service },
      timestamp: timeField,
      mixin: contextFields,
      mixinMergeStrategy: withContext,
      formatters: {
        level: (label) => ({ level: label }),
        log: safeFields,
      },
      // pino's own error serialiser would copy every own field of an error, statements and parameters included.
      serializers: { err: (value: unknown) => value },
      hooks: { streamWrite: maskText },
    },
    stream,
  );
  // Fields of child loggers bypass the formatters; children inherit this method.
  const makeChild = Reflect.get(log, 'child') as unknown as MakeChild;
  const safeChild: MakeChild = function child(this: pino.Logger, fields, options) {
    return makeChild.call(this, safeFields(fields), options);
  };
  Object.assign(log, { child: safeChild });
  return log;
}

type MakeChild = (this: pino.Logger, fields: object, options?: object) => pino.Logger;

/** A logger that writes nothing, for callers that need one and have none. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}

/**
 * What a log line says about an error: the code of an `AppError` with its internal fields, the stack for bugs only,
 * and the chain of causes. Own fields of foreign errors are left out: drivers keep parameters there.
 */
export function describeError(error: unknown, depth = 0): Record<string, unknown> {
  if (!isError(error)) return { type: typeof error, message: 'not an Error' };
  const cause = error.cause === undefined || depth >= 5 ? {} : { cause: describeError(error.cause, depth + 1) };
  if (error instanceof AppError) {
    const isBug = errorDefinition(error.code).fault === 'bug';
    return {
      code: error.code,
      ...(Object.keys(error.internal).length === 0 ? {} : { internal: safeFields(error.internal) }),
      ...(isBug ? { stack: maskText(error.stack ?? '') } : {}),
      ...cause,
    };
  }
  const code: unknown = 'code' in error ? error.code : undefined;
  return {
    type: error.name,
    message: maskText(error.message),
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    stack: maskText(error.stack ?? ''),
    ...cause,
  };
}

function safeFields(fields: object): Record<string, unknown> {
  const safe: Record<string, unknown> = {};
  let dropped = 0;
  for (const name of Object.keys(fields)) {
    if (allowed.has(name)) safe[name] = redactField(fields, name, describeError);
    else dropped += 1;
  }
  if (dropped > 0) safe.droppedFields = dropped;
  return safe;
}

const noFields: Readonly<Record<string, string>> = {};

/** As pino does it by itself, but without a copy where there is nothing to add. */
function withContext(fields: object, context: object): object {
  return context === noFields ? fields : Object.assign(context, fields);
}

function contextFields(): Record<string, string> {
  const context = currentContext();
  if (context === undefined) return noFields;
  return { correlationId: context.correlationId, traceId: context.trace.traceId, spanId: context.trace.spanId };
}

let timeMs = 0;
let timeText = '';

/** As pino's own `isoTime`; the text of a millisecond is made once. */
function timeField(): string {
  const now = Date.now();
  if (now !== timeMs) {
    timeMs = now;
    timeText = `,"time":"${new Date(now).toISOString()}"`;
  }
  return timeText;
}
